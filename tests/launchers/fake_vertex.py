"""Plays the custom jobs of Vertex AI on loopback: a job that runs is a process with the variables that its definition has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class FakeVertex:
    """The service; `url` is its address."""

    folder: Path
    image: dict[str, str] = field(default_factory=dict)
    """Variables that the image has."""
    canary: str = ""
    """A text that no definition may have."""
    full: set[str] = field(default_factory=set)
    """Regions or machine types without room: the job fails before it starts."""
    quota: set[str] = field(default_factory=set)
    """Machine types that are refused with 429."""
    denied: bool = False
    lost: int = 0
    """How many of the next creations are carried out, and their answers lost."""
    broken: int = 0
    """How many of the next requests are answered with 503."""
    never: bool = False
    """Jobs stay pending."""
    fails: str = ""
    """Why jobs end before their container starts."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        if self.denied:
            return 403, "Permission 'aiplatform.customJobs.create' denied"
        if self.broken:
            self.broken -= 1
            return 503, "The service is currently unavailable."
        if match := re.fullmatch(r"/v1/(projects/[^/]+/locations/([^/]+))/customJobs", path):
            if method == "GET":
                self.calls.append("aiplatform.customJobs.list")
                label, value = re.fullmatch(r"labels\.([a-z-]+)=(\S+)", query["filter"][0]).groups()  # type: ignore[union-attr]
                found = [self.seen(name) for name in self.jobs if name.startswith(f"{match[1]}/")]
                return 200, {"customJobs": [job for job in found if job["labels"].get(label) == value]}
            self.calls.append("aiplatform.customJobs.create")
            return self.create(match[1], match[2], body)
        match = re.fullmatch(r"/v1/(projects/[^/]+/locations/[^/]+/customJobs/[^/:]+)(:cancel)?", path)
        if match is None or match[1] not in self.jobs:
            return 404, f"The CustomJob {path} does not exist."
        name = match[1]
        if match[2]:
            self.calls.append("aiplatform.customJobs.cancel")
            if self.seen(name)["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
                return 400, "The job has ended."
            self.jobs[name]["cancelled"] = True
            if name in self.processes:
                self.processes[name].terminate()
            return 200, {}
        self.calls.append("aiplatform.customJobs.get")
        return 200, self.seen(name)

    def create(self, parent: str, region: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.canary and self.canary in json.dumps(body):
            return 400, "the definition has a secret in it"
        pool = body["jobSpec"]["workerPoolSpecs"][0]
        machine, container = pool["machineSpec"]["machineType"], pool["containerSpec"]
        if machine in self.quota:
            return 429, f"Quota exceeded for {machine}"
        name = f"{parent}/customJobs/{1000 + len(self.jobs)}"
        job = {**body, "name": name, "state": "JOB_STATE_PENDING", "machine": machine}
        self.jobs[name] = job
        if {machine, region} & self.full:
            job |= {
                "state": "JOB_STATE_FAILED",
                "error": {"code": 8, "message": f"Resources are insufficient in region: {region}"},
            }
        elif self.fails:
            job |= {"state": "JOB_STATE_FAILED", "error": {"code": 9, "message": self.fails}}
        elif not self.never:
            env = {
                "PATH": os.environ["PATH"],
                **self.image,
                **{each["name"]: each["value"] for each in container["env"]},
            }
            with (self.folder / f"{len(self.jobs)}.log").open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    container["command"], env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
        if self.lost:
            self.lost -= 1
            return 0, ""
        return 200, self.seen(name)

    def seen(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        process = self.processes.get(name)
        if process is not None:
            code = process.poll()
            job["startTime"] = "2026-01-01T00:00:00Z"
            done = "JOB_STATE_SUCCEEDED" if code == 0 else "JOB_STATE_FAILED"
            job["state"] = (
                "JOB_STATE_RUNNING" if code is None else "JOB_STATE_CANCELLED" if job.get("cancelled") else done
            )
            if code:
                job["error"] = {
                    "code": 9,
                    "message": f"The replica workerpool0-0 exited with a non-zero status of {code}.",
                }
        elif job.get("cancelled"):
            job["state"] = "JOB_STATE_CANCELLED"
        return {key: value for key, value in job.items() if key not in ("machine", "cancelled")}


def _handler(service: FakeVertex) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            return

        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            parts = urlsplit(self.path)
            if parts.path == "/token":
                return self.reply(200, {"access_token": "fake", "expires_in": 3600, "token_type": "Bearer"})
            status, found = service.answer(self.command, unquote(parts.path), parse_qs(parts.query), body)
            if not status:
                self.close_connection = True
                return None
            return self.reply(status, found if status == 200 else {"error": {"code": status, "message": found}})

        def do_POST(self) -> None:
            if self.path == "/token":
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.reply(200, {"access_token": "fake", "expires_in": 3600, "token_type": "Bearer"})
            else:
                self.do_GET()

        def reply(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def wait_gone(service: FakeVertex, within_s: float = 120) -> None:
    until = time.monotonic() + within_s
    while any(process.poll() is None for process in service.processes.values()):
        assert time.monotonic() < until
        time.sleep(0.05)
