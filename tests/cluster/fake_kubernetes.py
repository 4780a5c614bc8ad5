"""A simulated API server of Kubernetes with Dask's operator, as far as clusters of swath use them. Pods are processes of this machine.

Not simulated: nodes, scheduling, the network between pods (one address of loopback stands for all), and forwarding of ports.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.conftest import ROOT

Resource = dict[str, Any]


class FakeKubernetes:
    """The state of one namespace, and the server that shows it."""

    def __init__(self, folder: Path, host: str, check: Callable[[Resource], None] = lambda resource: None) -> None:
        self.folder, self.host, self.check = folder, host, check
        self.resources: dict[str, dict[str, Resource]] = {}
        self.calls: list[tuple[str, str]] = []
        self.operator = True
        """Whether there is one that makes pods."""
        self.starts = True
        """Whether pods come to run."""
        self.refuse: tuple[str, int] | None = None
        """A method and the code that it is answered with."""
        self.forbidden: tuple[str, ...] = ()
        """What a review says that this account may not do, such as `create secrets`."""
        self.installed = True
        """Whether the operator's resources are known."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def kubeconfig(self) -> Path:
        file = self.folder / "kubeconfig"
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": url}}],
            "users": [{"name": "fake", "user": {"token": "a-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "maps"}}],
        }
        file.write_text(json.dumps(config))
        return file

    def all(self) -> list[str]:
        """Everything that there is, as KIND/NAME."""
        with self._lock:
            return [f"{kind}/{name}" for kind, those in self.resources.items() for name in those]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.end_pods()

    def end_pods(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    # --- what the API does

    def make(self, kind: str, resource: Resource) -> Resource:
        with self._lock:
            self.check(resource)
            metadata = resource["metadata"] = {**resource["metadata"], "uid": str(uuid.uuid4())}
            self.resources.setdefault(kind, {})[metadata["name"]] = resource
            if kind == "daskclusters" and self.operator:
                self._components(resource)
            if kind == "secrets" and self.starts:
                self._mounted(resource)
            return resource

    def delete(self, kind: str, name: str) -> Resource | None:
        with self._lock:
            gone = self.resources.get(kind, {}).pop(name, None)
            if kind == "daskclusters" and gone:
                for those in self.resources.values():  # what it owns
                    for each in [each for each in those if each.startswith(name)]:
                        del those[each]
                self.end_pods()
            return gone

    # --- what the operator does

    def _components(self, cluster: Resource) -> None:
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        labels = {**cluster["metadata"]["labels"], "dask.org/cluster-name": name}
        ingress = {"loadBalancer": {"ingress": [{"ip": self.host}]}}
        self._child("services", f"{name}-scheduler", {**labels, "dask.org/component": "scheduler"}, ingress)
        self._pod(f"{name}-scheduler", spec["scheduler"], labels)
        for number in range(spec["worker"]["replicas"]):
            self._pod(f"{name}-default-worker-{number}", spec["worker"], labels)

    def _pod(self, name: str, of: Resource, labels: Resource) -> None:
        labels = {**labels, **of["metadata"]["labels"]}
        self._child("deployments", name, labels, {})
        self._child("pods", f"{name}-x1y2z", labels, {"phase": "Pending"}, of["spec"])

    def _child(self, kind: str, name: str, labels: Resource, status: Resource, spec: Resource | None = None) -> None:
        metadata = {"name": name, "namespace": "maps", "labels": labels, "uid": str(uuid.uuid4())}
        made = {"metadata": metadata, "spec": spec or {}, "status": status}
        self.resources.setdefault(kind, {})[name] = made

    def _mounted(self, secret: Resource) -> None:
        """Pods that waited for the secret start."""
        for name, pod in self.resources.get("pods", {}).items():
            (volume,) = pod["spec"]["volumes"]
            if volume["secret"]["secretName"] != secret["metadata"]["name"]:
                continue
            (container,) = pod["spec"]["containers"]
            keys = self.folder / f"{name}-tls"
            keys.mkdir()
            for item in volume["secret"]["items"]:
                (keys / item["path"]).write_bytes(base64.b64decode(secret["data"][item["key"]]))
            env = {each["name"]: each["value"] for each in container["env"]}
            arguments = [self._seen_here(each, str(keys), name) for each in container["args"]]
            assert arguments[0] == "python"
            log = (self.folder / f"{name}.log").open("wb")
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, *arguments[1:]],
                    env={**os.environ, **env, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                )
            )
            log.close()
            pod["status"] = {"phase": "Running"}

    def _seen_here(self, argument: str, keys: str, name: str) -> str:
        """An argument of a container, where there is neither a file system of its own nor a name service."""
        cluster = name.partition("-scheduler")[0].partition("-default-worker")[0]
        for there, here in (
            ("/etc/swath/tls", keys),
            (f"{cluster}-scheduler.maps.svc", self.host),
            ("--host=0.0.0.0", f"--host={self.host}"),
            ("--dashboard-address=:", f"--dashboard-address={self.host}:"),
            ("$(DASK_WORKER_NAME)", name),
        ):
            argument = argument.replace(there, here)
        return argument

    # --- HTTP

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.rstrip("/") == "/version":
                    return self._answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
                kind, _, selector = self._asked()
                if kind == "daskclusters" and not fake.installed:
                    return self._answer(404, {"message": "the server could not find the requested resource"})
                wanted = dict(each.split("=") for each in selector.split(",") if "=" in each)
                with fake._lock:
                    items = [
                        each
                        for each in fake.resources.get(kind, {}).values()
                        if wanted.items() <= each["metadata"]["labels"].items()
                    ]
                return self._answer(200, {"items": items, "metadata": {}})

            def do_POST(self) -> None:
                kind, _, _ = self._asked()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/selfsubjectaccessreviews"):
                    asked = body["spec"]["resourceAttributes"]
                    allowed = f"{asked['verb']} {asked['resource']}" not in fake.forbidden
                    self._answer(201, {**body, "status": {"allowed": allowed}})
                elif not self._refused("POST"):
                    self._answer(201, fake.make(kind, body))

            def do_DELETE(self) -> None:
                kind, name, _ = self._asked()
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if not self._refused("DELETE"):
                    found = fake.delete(kind, name)
                    self._answer(200 if found else 404, found or {"message": f'{kind} "{name}" not found'})

            def _refused(self, method: str) -> bool:
                if fake.refuse and fake.refuse[0] == method:
                    self._answer(fake.refuse[1], {"message": f"cannot {method.lower()} resource in the namespace maps"})
                    return True
                return False

            def _asked(self) -> tuple[str, str, str]:
                """Kind, name and selector of a path such as /apis/GROUP/VERSION/namespaces/maps/KIND/NAME."""
                url = urlsplit(self.path)
                kind, _, name = url.path.partition("/namespaces/maps/")[2].partition("/")
                fake.calls.append((self.command, kind))
                return kind, name, parse_qs(url.query).get("labelSelector", [""])[0]

            def _answer(self, code: int, body: Resource) -> None:
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                pass

        return Handler
