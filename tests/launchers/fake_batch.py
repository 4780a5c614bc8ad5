"""Plays AWS Batch and the log streams of its jobs: a job that runs is a process with the variables that its definition has."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IDLE = ("SUCCEEDED", "FAILED")


@dataclass
class FakeBatch:
    """The service; `url` is its address."""

    folder: Path
    image: dict[str, str] = field(default_factory=dict)
    """Variables that the image has."""
    canary: str = ""
    """A text that no definition may have."""
    full: set[str] = field(default_factory=set)
    """Queues that have no machine: jobs stay RUNNABLE."""
    denied: bool = False
    lost: int = 0
    """How many of the next submissions are carried out, and their answers lost."""
    broken: int = 0
    """How many of the next requests are answered with 500."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def answer(self, operation: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.denied:
            return 403, "AccessDeniedException"
        if self.broken:
            self.broken -= 1
            return 500, "ServerException"
        self.calls.add(operation)
        if operation == "submitjob":
            return self.submit(body)
        if operation == "listjobs":
            wanted = body.get("filters", [{"values": []}])[0]["values"]
            found = [
                self.seen(each) for each, job in self.jobs.items() if job["jobQueue"].endswith(f"/{body['jobQueue']}")
            ]
            shown = [job for job in found if job["jobName"] in wanted or job["status"] == body.get("jobStatus")]
            keys = ("jobId", "jobName", "status", "createdAt")
            return 200, {"jobSummaryList": [{key: job[key] for key in keys} for job in shown]}
        if operation == "describejobs":
            return 200, {"jobs": [self.seen(each) for each in body["jobs"] if each in self.jobs]}
        if operation == "terminatejob":
            job = self.jobs[body["jobId"]]
            job["statusReason"] = body["reason"]
            if body["jobId"] in self.processes:
                self.processes[body["jobId"]].terminate()
            else:
                job["status"] = "FAILED"
            return 200, {}
        text = (self.folder / f"{body['logStreamName']}.log").read_text()
        return 200, {"events": [{"message": line, "timestamp": 1} for line in text.splitlines()]}

    def submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.canary and self.canary in json.dumps(body):
            return 400, "ClientException: the definition has a secret in it"
        identity = f"0000-{len(self.jobs)}"
        job = {
            "jobId": identity, "jobName": body["jobName"], "jobQueue": f"arn:aws:batch:eu:1:job-queue/{body['jobQueue']}",
            "status": "RUNNABLE", "createdAt": round(time.time() * 1000), "tags": body["tags"], "container": {}, "asked": body,
            "jobDefinition": body["jobDefinition"], "startedAt": 0,
        }  # fmt: skip
        self.jobs[identity] = job
        if body["jobQueue"] not in self.full:
            container = body["containerOverrides"]
            env = {each["name"]: each["value"] for each in container["environment"]}
            with (self.folder / f"{identity}.log").open("wb") as log:
                self.processes[identity] = subprocess.Popen(
                    container["command"], env={"PATH": os.environ["PATH"], **self.image, **env}, cwd=self.folder,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
        if self.lost:
            self.lost -= 1
            return 0, ""
        return 200, {"jobId": identity, "jobName": body["jobName"]}

    def seen(self, identity: str) -> dict[str, Any]:
        job = self.jobs[identity]
        process = self.processes.get(identity)
        if process is not None:
            code = process.poll()
            job["container"] = {"logStreamName": identity}
            job["status"] = "RUNNING" if code is None else "SUCCEEDED" if code == 0 else "FAILED"
            if code is not None:
                job["container"]["exitCode"] = code if code >= 0 else 128 - code
                job.setdefault("statusReason", "Essential container in task exited")
        return {key: value for key, value in job.items() if key != "asked"}


def _handler(service: FakeBatch) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            return

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            operation = self.headers.get("x-amz-target", self.path).rpartition("/")[2].rpartition(".")[2].lower()
            status, found = service.answer(operation, body)
            if not status:
                self.close_connection = True
                return
            code, _, text = found.partition(": ") if status != 200 else ("", "", "")
            data = json.dumps(found if status == 200 else {"message": text or code}).encode()
            self.send_response(status)
            if code:
                self.send_header("x-amzn-errortype", code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
