"""Simulated Compute Engine v1 (and Google Storage): every instance boots from its user data. `python -m tests.clouds.gce`."""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.clouds.api_error import ApiError, Json, error_response, reason
from tests.clouds.catalogue import MISSING, all_zones
from tests.clouds.compute import Compute
from tests.clouds.control import serve, until_closed
from tests.clouds.faults import Fault
from tests.clouds.google_account import ROUTES as ACCOUNT_ROUTES
from tests.clouds.google_account import SERVICES, GoogleAccount
from tests.clouds.simulator import Simulator
from tests.clouds.storage import listening, serve_storage
from tests.infra.policy import COMPUTE

PROJECT, ZONE = "swath-test", "us-central1-a"


@dataclass(frozen=True)
class ApiServer:
    """Answers the calls of clients: routes them, injects faults, and logs."""

    simulator: Simulator
    compute: Compute
    account: GoogleAccount

    def call(self, who: str, method: str, address: str, body: Json) -> tuple[int, Json]:
        """(HTTP status, body) of the response."""
        parts = urllib.parse.urlsplit(address)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if who == "client" and (known := self._of_account(method, urllib.parse.unquote(parts.path), parts.query, body)):
            return known
        found = ((re.fullmatch(each[1], parts.path), each) for each in ROUTES if each[0] == method)
        match, route = next(((match, each) for match, each in found if match), (None, None))
        if match is None or route is None:
            return error_response(404, "notFound", f"not simulated: {method} {parts.path}")
        path, function = match.groupdict(), route[3]
        action = route[2].format(**path)
        parameters = path | query | ({"body": without_secrets(body)} if body else {})
        if who == "machine" and not self._may(action, path):
            self.simulator.calls.add(who, "compute", action, parameters, 403, None)
            return error_response(403, "forbidden", f"Required 'compute.{action}' permission for '{parts.path}'")
        if who == "client" and (action in COMPUTE or action == "instances.insert"):
            try:
                self.account.check("compute", action, path, body)
            except ApiError as error:
                self.simulator.calls.add(who, "compute", action, parameters, error.status, None)
                return error_response(error.status, error.reason, error.message)
        fault = self.simulator.faults.of(action)
        status, answer = self._done(action, function, path, query, body, fault)
        self.simulator.calls.add(who, "compute", action, parameters, status, fault.code if fault else None)
        return status, answer

    def _of_account(self, method: str, path: str, query: str, body: Json) -> tuple[int, Json] | None:
        """The response to a call of what is beside machines; None for any other call."""
        for verb, pattern, service, action, function in ACCOUNT_ROUTES:
            if verb != method or not (match := re.fullmatch(pattern, path)):
                continue
            named = match.groupdict()
            try:
                self.account.check(service, action, named, body)
                status, response = 200, function(self.account, named, urllib.parse.parse_qs(query), body)
            except ApiError as error:
                status, response = error_response(error.status, error.reason, error.message)
            self.simulator.calls.add("client", service, action, named | ({"body": body} if body else {}), status, None)
            return status, response
        return None

    def _may(self, action: str, path: dict[str, str]) -> bool:
        """Whether a machine may make a call: it has the one right of infra/iam/gcp-self-removal.yaml, unless a test takes it away."""
        return self.compute.self_removal and action == "instances.delete" and path["name"].startswith("swath-")

    def _done(
        self, action: str, function: Any, path: dict[str, str], query: dict[str, str], body: Json, fault: Fault | None
    ) -> tuple[int, Json]:
        try:
            zone = path.get("zone")
            if zone is not None and zone not in all_zones():
                raise ApiError(400, "invalid", f"Invalid value for field 'zone': '{zone}'. Unknown zone.")
            if path.get("project", "").startswith(MISSING):
                raise ApiError(404, "notFound", f"The resource 'projects/{path['project']}' was not found")
            if fault is not None and fault.when == "later":
                name = path.get("name") or body["name"]
                return 200, self.compute.operation(action.rpartition(".")[2], path, name, fault)
            if fault is None or fault.when == "after":
                answer = function(self.compute, path, query, body)
                if fault is None:
                    return 200, answer
            return error_response(fault.status, reason(fault.code), fault.message)
        except ApiError as error:
            return error_response(error.status, error.reason, error.message)


_KINDS = "networks|images|firewalls|machineTypes|acceleratorTypes|diskTypes|subnetworks|zones|regions"
_P, _Z, _N = r"/compute/v1/projects/(?P<project>[^/]+)", r"/zones/(?P<zone>[^/]+)", r"/(?P<name>[^/]+)"
ROUTES: list[tuple[str, str, str, Callable[[Compute, dict[str, str], dict[str, str], Json], Json]]] = [
    ("POST", f"{_P}{_Z}/instances", "instances.insert", Compute.insert),
    ("GET", f"{_P}{_Z}/instances", "instances.list", Compute.list),
    ("GET", f"{_P}/aggregated/instances", "instances.aggregatedList", Compute.aggregated),
    ("GET", f"{_P}{_Z}/instances{_N}", "instances.get", Compute.get),
    ("DELETE", f"{_P}{_Z}/instances{_N}", "instances.delete", Compute.delete),
    ("POST", f"{_P}{_Z}/instances{_N}/stop", "instances.stop", Compute.stop),
    ("GET", f"{_P}{_Z}/instances{_N}/serialPort", "instances.getSerialPortOutput", Compute.serial),
    ("GET", f"{_P}{_Z}/operations{_N}", "zoneOperations.get", Compute.operation_get),
    ("POST", f"{_P}{_Z}/operations{_N}/wait", "zoneOperations.wait", Compute.operation_wait),
    ("GET", _P, "projects.get", Compute.project),
    ("GET", f"{_P}/global/images/family{_N}", "images.getFromFamily", Compute.family),
    ("GET", rf"{_P}/(?:global/|{_Z[1:]}/|regions/[^/]+/)?(?P<kind>{_KINDS}){_N}", "{kind}.get", Compute.looked_up),
    ("GET", rf"/v1/projects/(?P<project>[^/]+)/serviceAccounts{_N}", "serviceAccounts.get", Compute.account),
]  # fmt: skip
"""(method, path, action, function); the first match applies."""


def without_secrets(body: Json) -> Json:
    """User data contains TLS keys: only its size is logged."""
    items = [
        item | {"value": f"{len(str(item.get('value', '')).encode())} bytes"}
        if item.get("key") == "user-data"
        else item
        for item in (body.get("metadata") or {}).get("items", [])
    ]
    return body | {"metadata": {**body["metadata"], "items": items}} if items else body


def serve_api(api: ApiServer) -> str:
    """Serve Compute Engine and the token endpoint; the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.path == "/token":
                status, response = 200, {"access_token": "client", "token_type": "Bearer", "expires_in": 3600}
            elif token not in ("client", "machine"):
                status, response = error_response(401, "authError", "Request had invalid authentication credentials.")
            else:
                status, response = api.call(token, self.command, self.path, json.loads(raw) if raw.strip() else {})
            body = json.dumps(response).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_PATCH = do_PUT = do_GET

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder for all files of the simulation; is emptied")
    simulator = Simulator(parser.parse_args().root)
    storage, process = serve_storage(simulator)
    compute = Compute(simulator)
    account = GoogleAccount(storage, PROJECT)
    endpoint = serve_api(ApiServer(simulator, compute, account))
    key = service_account(simulator.root / "service-account.json", endpoint)
    environment = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "NO_GCE_CHECK": "true",
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{endpoint}{path}" for name, path in SERVICES.items()},
        "STORAGE_EMULATOR_HOST": storage,
    }
    simulator.environment = {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{endpoint}/compute/v1/",
        "STORAGE_EMULATOR_HOST": storage,
        "NO_GCE_CHECK": "true",
    }

    def reset() -> None:
        account.reset()
        compute.reset()

    for _ in listening(storage):
        continue
    ready = {
        "kind": "gce",
        "root": str(simulator.root),
        "control": serve(compute.functions() | account.functions() | {"reset": reset}),
        "endpoint": endpoint,
        "environment": environment,
        "network": {"project": PROJECT, "zone": ZONE, "network": "default", "image": "swath-machine"},
    }
    until_closed(ready, sys.stdin, sys.stdout)
    simulator.reset()
    process.terminate()
    process.wait()


if __name__ == "__main__":
    main()
