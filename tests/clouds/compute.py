"""The machines of a simulated Compute Engine, and the operations on them."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.clouds.api_error import ApiError, Json, invalid
from tests.clouds.catalogue import MISSING, Catalogue, all_zones
from tests.clouds.faults import Fault
from tests.clouds.list_filter import holds, parsed
from tests.clouds.machine import Machine
from tests.clouds.simulator import Simulator

STEP_S = 0.1
"""Duration of an operation, and of each state of a machine that starts or stops."""
PAGE = 500


@dataclass
class Instance:
    """An instance and its machine."""

    id: str
    project: str
    zone: str
    body: Json
    machine: Machine
    made: float = field(default_factory=time.monotonic)
    state: str = ""
    """STOPPING or TERMINATED; empty before."""
    until: float = float("inf")
    """End of its maxRunDuration, by the monotonic clock."""
    gone_at: float = float("inf")
    """From when on it is not listed, by the monotonic clock."""

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def status(self) -> str:
        steps = ("PROVISIONING", "STAGING", "RUNNING")
        return self.state or steps[min(2, int((time.monotonic() - self.made) / STEP_S))]

    @property
    def scheduling(self) -> Json:
        return self.body.get("scheduling") or {}

    @property
    def spot(self) -> bool:
        flag = str(self.scheduling.get("preemptible", "")).lower() == "true"
        return flag or self.scheduling.get("provisioningModel") == "SPOT"

    @property
    def deleted_at_end(self) -> bool:
        return self.scheduling.get("instanceTerminationAction") == "DELETE"


class Compute(Catalogue):
    """The instances and operations of all projects."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._addresses = (f"{simulator.prefix}.{n // 250 + 64}.{n % 250 + 1}" for n in itertools.count())
        self._numbers = itertools.count(1000000000000000001)
        self._instances: dict[tuple[str, str, str], Instance] = {}
        self._operations: dict[str, tuple[float, Json]] = {}
        self._by_request: dict[str, Json] = {}
        self._lock = threading.RLock()
        self.self_removal = True
        """Whether machines may delete themselves."""
        simulator.watch(self._powered_off, self._passed)

    def used(self) -> int:
        return len(self._instances)

    # --- control

    def functions(self) -> dict[str, Callable[..., Any]]:
        return (
            self._simulator.functions()
            | {"alive": self.alive, "reclaim": self.reclaim, "reset": self.reset}
            | {"self_removal": lambda allowed: setattr(self, "self_removal", allowed)}
        )

    def alive(self) -> list[Json]:
        with self._lock:
            self._sweep()
            listed = list(self._instances.values())
        return [
            self._simulator.describe(each.machine.id)
            | {
                "id": each.name,
                "name": each.name,
                "labels": each.body.get("labels", {}),
                "state": each.status,
                "type": each.body.get("machineType", "").rpartition("/")[2],
                "zone": each.zone,
            }
            for each in listed
        ]

    def reclaim(self, machine: str, notice_s: float = 0.0) -> None:
        """Preempt: STOPPING, then TERMINATED, or gone where it says DELETE."""
        with self._lock:
            instance = next(each for each in self._instances.values() if each.name == machine)
            instance.machine.notice = "TRUE"

        def take() -> None:
            with self._lock:
                instance.state = instance.state or "STOPPING"
            self._simulator.end(instance.machine.id)
            time.sleep(STEP_S)
            self._stopped(instance)

        timer = threading.Timer(notice_s, take)
        timer.daemon = True
        timer.start()

    def reset(self) -> None:
        with self._lock:
            self._instances.clear()
            self._operations.clear()
            self._by_request.clear()
            self.self_removal = True
        self._simulator.reset()

    # --- state changes

    def _powered_off(self, machine: Machine) -> None:
        with self._lock:
            for each in self._instances.values():
                if each.machine is machine and not each.state:
                    each.state = "TERMINATED"
                    each.until = float("inf")  # a stopped machine has no time limit any more

    def _passed(self) -> None:
        """Time limits."""
        with self._lock:
            over = [each for each in self._instances.values() if time.monotonic() >= each.until]
            for each in over:
                each.until = float("inf")
        for each in over:
            self._simulator.end(each.machine.id)
            self._stopped(each)

    def _stopped(self, instance: Instance) -> None:
        with self._lock:
            instance.state = "TERMINATED"
            if instance.deleted_at_end:
                self._instances.pop((instance.project, instance.zone, instance.name), None)

    def _sweep(self) -> None:
        """Deleted machines are listed for a moment."""
        for key, each in list(self._instances.items()):
            if time.monotonic() >= each.gone_at:
                del self._instances[key]

    # --- calls: instances

    def insert(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        self.valid(path, body)
        name, request = body["name"], query.get("requestId", "")
        with self._lock:
            if request and request in self._by_request:
                return self._by_request[request]
            self._sweep()
            key = (path["project"], path["zone"], name)
            if key in self._instances:
                raise ApiError(409, "alreadyExists", f"The resource '{self._path(*key)}' already exists")
            items = {item["key"]: item.get("value", "") for item in (body.get("metadata") or {}).get("items", [])}
            number = str(next(self._numbers))
            data = items.get("user-data", "").encode()
            machine = self._simulator.add(f"{name}-{number[-4:]}", next(self._addresses), data)
            machine.facts = {
                "computeMetadata/v1/project/project-id": path["project"],
                "computeMetadata/v1/instance/name": name,
                "computeMetadata/v1/instance/zone": f"projects/1/zones/{path['zone']}",
                "computeMetadata/v1/instance/service-accounts/default/token": json.dumps({"access_token": "machine"}),
            }
            instance = Instance(number, *key[:2], body, machine)
            span = instance.scheduling.get("maxRunDuration") or {}
            if span:
                instance.until = time.monotonic() + float(span["seconds"]) / self._simulator.speed
            self._instances[key] = instance
            operation = self.operation("insert", path, name)
            if request:
                self._by_request[request] = operation
        return operation

    def valid(self, path: dict[str, str], body: Json) -> None:
        """Raise ApiError for a machine that Compute Engine would refuse."""
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", str(body.get("name", ""))):
            raise invalid(
                "name", body.get("name", ""), "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"
            )
        for key, value in (body.get("labels") or {}).items():
            if not re.fullmatch(r"[a-z][-_a-z0-9]{0,62}", key) or not re.fullmatch(r"[-_a-z0-9]{0,63}", str(value)):
                raise invalid(
                    "labels", f"{key}={value}", "Label keys and values have lower-case letters, digits, - and _."
                )
        if not body.get("networkInterfaces"):
            raise invalid("networkInterfaces", "", "At least one network interface is required.")
        disks = [disk.get("initializeParams") or {} for disk in body.get("disks") or [{}]]
        named = [body.get("machineType", ""), *(disk.get("sourceImage", "") for disk in disks)]
        named += [nic.get(part, "") for nic in body["networkInterfaces"] for part in ("network", "subnetwork")]
        for resource in named:
            if resource.rpartition("/")[2].startswith(MISSING):
                raise ApiError(404, "notFound", f"The resource '{resource}' was not found")
        limited = (body.get("scheduling") or {}).get("maxRunDuration")
        if limited and not (body["scheduling"]).get("instanceTerminationAction"):
            raise invalid("scheduling.instanceTerminationAction", "", "It is required with maxRunDuration.")
        for item in (body.get("metadata") or {}).get("items", []):
            if len(str(item.get("value", "")).encode()) > 262144:
                raise invalid(f"metadata.items.{item['key']}", "", "Metadata value is longer than 262144 bytes.")

    def get(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        return self.view(self._found(path))

    def delete(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        instance = self._found(path)
        with self._lock:
            instance.state, instance.until = "STOPPING", float("inf")
        self._simulator.end(instance.machine.id)
        with self._lock:
            instance.gone_at = min(instance.gone_at, time.monotonic() + STEP_S)
        return self.operation("delete", path, instance.name)

    def stop(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        instance = self._found(path)
        self._simulator.end(instance.machine.id)
        with self._lock:
            instance.state, instance.until = "TERMINATED", float("inf")
        return self.operation("stop", path, instance.name)

    def serial(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        text = self._found(path).machine.console
        start = int(query.get("start", 0))
        if start < 0:  # the most recent bytes
            start = max(0, len(text) + start)
        return {
            "kind": "compute#serialPortOutput",
            "contents": text[start:],
            "start": str(start),
            "next": str(len(text)),
        }

    def list(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        page, token = self._page([each for each in self._selected(path, query) if each.zone == path["zone"]], query)
        return (
            {"kind": "compute#instanceList"} | ({"items": [self.view(each) for each in page]} if page else {}) | token
        )

    def aggregated(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        page, token = self._page(self._selected(path, query), query)
        items: dict[str, Json] = {}
        for zone in all_zones():
            here = [self.view(each) for each in page if each.zone == zone]
            nothing = {
                "code": "NO_RESULTS_ON_PAGE",
                "message": f"There are no results for scope 'zones/{zone}' on this page.",
            }
            items[f"zones/{zone}"] = {"instances": here} if here else {"warning": nothing}
        return {"kind": "compute#instanceAggregatedList", "items": items} | token

    def _selected(self, path: dict[str, str], query: dict[str, str]) -> list[Instance]:
        conditions = parsed(query.get("filter", ""))
        with self._lock:
            self._sweep()
            found = [each for each in self._instances.values() if each.project == path["project"]]
        return [each for each in found if all(holds(self.view(each), *condition) for condition in conditions)]

    def _page(self, found: list[Instance], query: dict[str, str]) -> tuple[list[Instance], Json]:
        size, start = int(query.get("maxResults", PAGE)), int(query.get("pageToken") or 0)
        token = {"nextPageToken": str(start + size)} if len(found) > start + size else {}
        return found[start : start + size], token

    def _found(self, path: dict[str, str]) -> Instance:
        with self._lock:
            self._sweep()
            key = (path["project"], path["zone"], path["name"])
            if key not in self._instances:
                raise ApiError(404, "notFound", f"The resource '{self._path(*key)}' was not found")
            return self._instances[key]

    def _path(self, project: str, zone: str, name: str) -> str:
        return f"projects/{project}/zones/{zone}/instances/{name}"

    def view(self, instance: Instance) -> Json:
        base = f"https://www.googleapis.com/compute/v1/projects/{instance.project}/zones/{instance.zone}"
        address = instance.machine.address
        nics = []
        for nic in instance.body["networkInterfaces"]:
            outside = [access | {"natIP": address} for access in nic.get("accessConfigs") or []]
            nics.append(nic | {"networkIP": address, "name": "nic0"} | ({"accessConfigs": outside} if outside else {}))
        return {
            **instance.body,
            "kind": "compute#instance",
            "id": instance.id,
            "status": instance.status,
            "zone": base,
            "machineType": f"{base}/machineTypes/{instance.body.get('machineType', '').rpartition('/')[2]}",
            "selfLink": f"{base}/instances/{instance.name}",
            "networkInterfaces": nics,
        }

    # --- calls: operations

    def operation(self, kind: str, path: dict[str, str], name: str, problem: Fault | None = None) -> Json:
        number = next(self._numbers)
        target = self._instances.get((path["project"], path["zone"], name))
        operation_body: Json = {
            "kind": "compute#operation",
            "id": str(number),
            "name": f"operation-{number}",
            "operationType": kind,
            "zone": f"https://www.googleapis.com/compute/v1/projects/{path['project']}/zones/{path['zone']}",
            "targetLink": f"https://www.googleapis.com/compute/v1/{self._path(path['project'], path['zone'], name)}",
            "targetId": target.id if target else str(number),
            "insertTime": datetime.datetime.now(datetime.UTC).isoformat(),
        }
        if problem is not None:
            operation_body["error"] = {"errors": [{"code": problem.code, "message": problem.message}]}
            operation_body |= {"httpErrorStatusCode": problem.status, "httpErrorMessage": "SERVICE UNAVAILABLE"}
        with self._lock:
            self._operations[operation_body["name"]] = (time.monotonic() + STEP_S, operation_body)
        return self.progress(operation_body["name"])

    def progress(self, name: str) -> Json:
        if name not in self._operations:
            raise ApiError(404, "notFound", f"The resource '{name}' was not found")
        done_at, operation_body = self._operations[name]
        if time.monotonic() < done_at:
            return {key: value for key, value in operation_body.items() if "rror" not in key} | {
                "status": "RUNNING",
                "progress": 0,
            }
        return operation_body | {"status": "DONE", "progress": 100}

    def operation_get(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        return self.progress(path["name"])

    def operation_wait(self, path: dict[str, str], query: dict[str, str], body: Json) -> Json:
        while self.progress(path["name"])["status"] != "DONE":
            time.sleep(STEP_S / 4)
        return self.progress(path["name"])
