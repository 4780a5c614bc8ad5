"""Plays the jobs of Kubernetes: a pod that runs is a process with the variables that its manifest has. Also over HTTP, for kr8s."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from swath.errors import CredentialsError, InfrastructureError

Resource = dict[str, Any]


@dataclass
class FakeKubernetesJobs:
    """One namespace, with the methods of swath.cluster.providers.kubernetes.api.KubernetesApi that launchers use."""

    folder: Path
    image: dict[str, str] = field(default_factory=dict)
    """Variables that the image has."""
    canary: str = ""
    """A text that no manifest may have."""
    waits: dict[str, str] = field(default_factory=dict)
    """Why pods do not start: reason and message of their container."""
    unschedulable: str = ""
    """Why pods get no node."""
    forbidden: tuple[str, ...] = ()
    """What the account may not do, such as `create jobs`."""
    lost: int = 0
    """How many of the next creations are carried out, and their answers lost."""
    away: bool = False
    secrets: dict[str, Resource] = field(default_factory=dict)
    jobs: dict[str, Resource] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def create(self, resource: Mapping[str, Any]) -> Resource:
        if resource["kind"] == "SelfSubjectAccessReview":
            asked = resource["spec"]["resourceAttributes"]
            part = f"/{asked['subresource']}" if asked["subresource"] else ""
            allowed = f"{asked['verb']} {asked['resource']}{part}" not in self.forbidden
            return {**resource, "status": {"allowed": allowed}}
        self._called("create jobs")
        name = resource["metadata"]["name"]
        if self.canary and self.canary in json.dumps(resource):
            raise InfrastructureError("Kubernetes refused: admission webhook: the manifest has a secret in it")
        if name in self.jobs:
            raise InfrastructureError(f'Kubernetes refused: jobs.batch "{name}" already exists')
        self.jobs[name] = dict(resource)
        if not self.waits and not self.unschedulable:
            (container,) = resource["spec"]["template"]["spec"]["containers"]
            env = {each["name"]: each["value"] for each in container["env"]}
            with (self.folder / f"{name}.log").open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    container["command"], env={"PATH": os.environ["PATH"], **self.image, **env}, cwd=self.folder,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
        if self.lost:
            self.lost -= 1
            raise InfrastructureError("the API server of Kubernetes does not answer: ReadTimeout")
        return dict(resource)

    def find(self, kind: str, selector: str) -> list[Resource]:
        self._called(f"list {kind.lower()}s")
        label, _, value = selector.partition("=")
        found = [self._job(name) for name in self.jobs] if kind == "Job" else [self._pod(name) for name in self._pods()]
        return [each for each in found if each["metadata"]["labels"].get(label) == value]

    def delete(self, kind: str, name: str) -> None:
        self._called(f"delete {kind.lower()}s")
        if self.jobs.pop(name, None) and name in self.processes:
            self.processes[name].terminate()

    def log(self, pod: str, lines: int) -> str:
        self._called("get pods/log")
        return "\n".join((self.folder / f"{pod.removesuffix('-x1y2z')}.log").read_text().splitlines()[-lines:])

    def _called(self, what: str) -> None:
        if self.away:
            raise InfrastructureError("the API server of Kubernetes does not answer: ConnectError")
        if what in self.forbidden:
            raise CredentialsError(f"Kubernetes does not allow it: cannot {what}")
        self.calls.add(what)

    def _job(self, name: str) -> Resource:
        code = self._code(name)
        conditions = {
            None: [],
            0: [{"type": "Complete", "status": "True"}],
        }.get(
            code, [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it has failed"}]
        )
        return {**self.jobs[name], "status": {"conditions": conditions}}

    def _pods(self) -> list[str]:
        """Jobs with a pod: those of a deleted job are there until their processes have ended."""
        return [*self.jobs, *(name for name in self.processes if name not in self.jobs and self._code(name) is None)]

    def _pod(self, name: str) -> Resource:
        code = self._code(name)
        state: Resource = {"running": {}}
        phase = "Running"
        if code is not None:
            phase = "Succeeded" if code == 0 else "Failed"
            state = {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}}
        status: Resource = {"phase": phase, "containerStatuses": [{"state": state}]}
        if self.waits and name not in self.processes:
            status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": self.waits}}]}
        elif self.unschedulable and name not in self.processes:
            why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": self.unschedulable}
            status = {"phase": "Pending", "conditions": [why]}
        labels = {"swath-job": name}
        return {"metadata": {"name": f"{name}-x1y2z", "labels": labels}, "status": status}

    def _code(self, name: str) -> int | None:
        process = self.processes.get(name)
        code = process.poll() if process is not None else None
        return code if code is None or code >= 0 else 128 - code


class FakeJobServer:
    """The same over HTTP, for a kubeconfig."""

    def __init__(self, jobs: FakeKubernetesJobs) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(jobs))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def kubeconfig(self, file: Path) -> Path:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": url}}], "users": [{"name": "fake", "user": {"token": "a-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "runs"}}],
        }  # fmt: skip
        file.write_text(json.dumps(config))
        return file

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(jobs: FakeKubernetesJobs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            return

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if parts == ["version"]:
                return self._answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
            query = parse_qs(url.query)
            if parts[-1] == "log":
                return self._answer(200, jobs.log(parts[-2], int(query["tailLines"][0])))
            if parts[-2] == "secrets":
                found = jobs.secrets.get(parts[-1])
                return self._answer(200 if found else 404, found or {"message": "not found"})
            kind = {"jobs": "Job", "pods": "Pod"}[parts[-1]]
            return self._answer(200, {"items": jobs.find(kind, query.get("labelSelector", [""])[0]), "metadata": {}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._answer(201, jobs.create(body))
            except InfrastructureError as error:
                self._answer(409, {"message": error.message})

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            name = self.path.partition("?")[0].rpartition("/")[2]
            found = name in jobs.jobs
            jobs.delete("Job", name)
            self._answer(200 if found else 404, {} if found else {"message": f'jobs "{name}" not found'})

        def _answer(self, code: int, body: Resource | str) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
