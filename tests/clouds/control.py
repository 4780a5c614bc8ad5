"""Client of a simulated cloud's control address, for tests: which machines exist, which calls were made, which faults to inject."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Literal

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60


@dataclass
class Cloud:
    """A simulated cloud. All methods call the simulator's process."""

    kind: Literal["ec2", "gce"]
    root: Path
    control: str
    """Control address."""
    endpoint: str
    environment: dict[str, str]
    """Variables with which client libraries use it."""
    network: dict[str, Any]
    """EC2: region, vpc, subnet, security_group, image; GCE: project, zone, network, image."""
    pid: int = 0
    opener: Any = field(default=None, repr=False)

    # --- state

    def alive(self) -> list[dict[str, Any]]:
        """Machines that are paid for: id, name, state (the cloud's word), labels (or tags), address, type,
        user_data_bytes, booted, ended (powered off)."""
        return self._ask("alive")

    def names(self) -> list[str]:
        """Ids of the machines that are paid for."""
        return [each["id"] for each in self.alive()]

    def calls(self) -> list[dict[str, Any]]:
        """Since the last reset, in their order; see calls.CallLog. All calls ever made are in root/calls.jsonl."""
        return self._ask("calls")

    def actions(self) -> list[str]:
        return [each["action"] for each in self.calls()]

    def console(self, machine: str) -> str:
        """Of a machine that lives or lived."""
        return self._ask("console", machine=machine)

    def user_data(self, machine: str) -> str:
        return self._ask("user_data", machine=machine)

    def empty(self, within_s: float = 10.0) -> bool:
        """Whether no machine is left, and no process of one, within a time."""
        return self.until(lambda: not self.alive() and not self.processes(), within_s)

    def processes(self) -> int:
        """Number of processes of machines, also of those that are gone."""
        return int(self._ask("processes"))

    def until(self, condition: Callable[[], bool], within_s: float = 30.0) -> bool:
        """Whether a condition comes true within a time."""
        end = time.monotonic() + within_s
        while not (true := condition()) and time.monotonic() < end:
            time.sleep(0.05)
        return true

    # --- faults

    def fault(self, action: str, code: str, **fields: Any) -> None:
        """Have calls fail; see faults.Fault. `action` is RunInstances, instances.insert and so on."""
        self._ask("fault", action=action, code=code, **fields)

    def behaviour(self, **fields: Any) -> None:
        """How machines that are launched from now on behave; see faults.Behaviour."""
        self._ask("behaviour", **fields)

    def stock_out(self, nth: int = 1, times: int = 1) -> None:
        """There is no such machine to be had. On GCE the call succeeds and its operation ends with the error."""
        if self.kind == "ec2":
            message = "We currently do not have sufficient m7i.xlarge capacity in the Availability Zone you requested."
            self.fault(
                "RunInstances", "InsufficientInstanceCapacity", status=500, message=message, nth=nth, times=times
            )
        else:
            message = (
                f"The zone '{self.network['zone']}' does not have enough resources available to fulfill the request."
            )
            code = "ZONE_RESOURCE_POOL_EXHAUSTED"
            self.fault("instances.insert", code, status=503, message=message, nth=nth, times=times, when="later")

    def quota(self, nth: int = 1, times: int = 1) -> None:
        """The account may have no more machines."""
        if self.kind == "ec2":
            message = "You have requested more vCPU capacity than your current vCPU limit of 8 allows for the instance bucket."
            self.fault("RunInstances", "VcpuLimitExceeded", status=400, message=message, nth=nth, times=times)
        else:
            message = "Quota 'CPUS' exceeded.  Limit: 8.0 in region us-central1."
            self.fault("instances.insert", "QUOTA_EXCEEDED", status=403, message=message, nth=nth, times=times)

    def fail_removal(self, nth: int = 1, times: int = 1, code: str = "", status: int = 500) -> None:
        """Terminate or delete calls that fail."""
        if self.kind == "ec2":
            self.fault("TerminateInstances", code or "InternalError", status=status, nth=nth, times=times)
        else:
            self.fault("instances.delete", code or "backendError", status=status, nth=nth, times=times)

    def fail_create(self, nth: int = 1, times: int = 1, when: str = "before", status: int = 500) -> None:
        """Create calls that fail, before or after a machine was made."""
        action, code = ("RunInstances", "InternalError") if self.kind == "ec2" else ("instances.insert", "backendError")
        self.fault(action, code, status=status, nth=nth, times=times, when=when)

    def clear_faults(self) -> None:
        """Remove all faults and behaviours."""
        self._ask("clear_faults")

    def reclaim(self, machine: str, notice_s: float = 0.0) -> None:
        """Preempt a spot machine: a notice in its metadata, and its end after `notice_s`."""
        self._ask("reclaim", machine=machine, notice_s=notice_s)

    def power_off(self, machine: str) -> None:
        """As by `shutdown -h now` on it."""
        self._ask("power_off", machine=machine)

    def kill_container(self, machine: str) -> None:
        """SIGKILL for what docker run runs; the machine goes on with its user data."""
        self._ask("kill_container", machine=machine)

    def self_removal(self, allowed: bool) -> None:
        """On GCE: whether the account of machines may delete them."""
        self._ask("self_removal", allowed=allowed)

    def bare(self) -> None:
        """As an account that nobody has prepared for runs. The next reset ends it on Compute Engine."""
        self._ask("bare")

    def act_as(self, who: str) -> None:
        """From now on clients have only the rights that the account gives this user. Empty: all rights."""
        self._ask("act_as", who=who)

    def account(self) -> Any:
        """What the account has beside machines."""
        return self._ask("account")

    def speed(self, times: float) -> None:
        """Time limits of machines (`shutdown -h +N`, systemd-run, maxRunDuration) set from now on pass so many times faster."""
        self._ask("speed", times=times)

    def reset(self) -> None:
        """No machines, faults and calls; normal speed. Buckets stay."""
        self._ask("reset")

    def _ask(self, name: str, **parameters: Any) -> Any:
        import urllib.request

        if self.opener is None:  # no proxy, whatever the environment says
            self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{self.control}/{name}", json.dumps(parameters).encode())
        with self.opener.open(request, timeout=60) as answer:
            result = json.loads(answer.read())
        if "error" in result:
            raise RuntimeError(f"{self.kind} {name}: {result['error']}")
        return result["value"]


@contextlib.contextmanager
def started(kind: Literal["ec2", "gce"], root: Path) -> Iterator[Cloud]:
    """A simulated cloud in a process of its own, until the block ends."""
    with (root.parent / f"{root.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.clouds.{kind}", "--root", str(root)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the simulated {kind} did not start: {Path(log.name).read_text()[-4000:]}")
            yield Cloud(**json.loads(line) | {"root": root, "pid": process.pid})
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


# --- the simulator's side


def serve(functions: Mapping[str, Callable[..., Any]]) -> str:
    """Json functions by name from now on; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            result: dict[str, Any]
            try:
                parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                result = {"value": functions[self.path.strip("/")](**parameters)}
            except Exception as error:  # noqa: BLE001 - the test gets it
                result = {"error": f"{type(error).__name__}: {error}"}
            body = json.dumps(result).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def until_closed(ready: Mapping[str, Any], stdin: IO[str], output: IO[str]) -> None:
    """Say that all is ready, and come back when stdin is closed."""
    print(json.dumps(ready), file=output, flush=True)
    while stdin.read(1):
        continue
