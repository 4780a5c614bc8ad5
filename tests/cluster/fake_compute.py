"""A simulated Compute Engine for `pipe doctor`: the resources of one project, without machines, over HTTP with a token endpoint."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def _rule(source: str, ports: str, *tags: str) -> dict[str, Any]:
    allowed = [{"IPProtocol": "tcp", "ports": [ports]}]
    return {
        "network": "x/default",
        "direction": "INGRESS",
        "targetTags": [*tags],
        "sourceRanges": [source],
        "allowed": allowed,
    }


PROJECT: dict[str, Any] = {
    "projects/acme/aggregated/instances": {"items": {}},
    "projects/acme": {
        "name": "acme",
        "defaultServiceAccount": "1-compute@developer.gserviceaccount.com",
        "quotas": [{"metric": "GPUS_ALL_REGIONS", "limit": 4, "usage": 0}],
    },
    "projects/acme/zones/europe-west4-a": {"name": "europe-west4-a", "status": "UP"},
    **{
        f"projects/acme/zones/europe-west4-a/machineTypes/{name}": {"name": name, "guestCpus": cpus, "memoryMb": 4096 * cpus}
        for name, cpus in (("n2-standard-4", 4), ("n1-standard-4", 4), ("e2-medium", 2))
    },
    "projects/acme/zones/europe-west4-a/acceleratorTypes/nvidia-tesla-t4": {"maximumCardsPerInstance": 4},
    "projects/acme/global/images/swath-1": {"name": "swath-1", "status": "READY", "diskSizeGb": "20"},
    "projects/acme/regions/europe-west4/subnetworks/default": {
        "network": "https://www.googleapis.com/compute/v1/projects/acme/global/networks/default",
        "ipCidrRange": "10.164.0.0/20",
    },
    "projects/acme/global/firewalls": {
        "items": [_rule("10.128.0.0/9", "0-65535"), _rule("192.0.2.7/32", "8786", "swath")]
    },
    "projects/acme/regions/europe-west4": {
        "quotas": [
            {"metric": metric, "limit": limit, "usage": usage}
            for metric, limit, usage in (
                ("CPUS", 72, 0), ("N2_CPUS", 200, 8), ("INSTANCES", 720, 1), ("SSD_TOTAL_GB", 50000, 0),
                ("IN_USE_ADDRESSES", 200, 0), ("NVIDIA_T4_GPUS", 4, 0),
            )
        ]
    },
}  # fmt: skip


class Engine:
    """The project as it is now, and what leads there."""

    def __init__(self, address: str, folder: Path) -> None:
        self.resources = copy.deepcopy(PROJECT)
        self.refused = 0
        key = folder / "account.json"
        key.write_text(json.dumps(_account(f"{address}/token")))
        self.environment = {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{address}/compute/v1/",
            "GOOGLE_APPLICATION_CREDENTIALS": str(key),
            "NO_GCE_CHECK": "true",
        }

    def restore(self) -> None:
        self.resources, self.refused = copy.deepcopy(PROJECT), 0

    def change(self, path: str, resource: dict[str, Any]) -> None:
        self.resources[path] = resource

    def refuse(self, status: int) -> None:
        """401: no call is answered; 403: none but the listing of machines."""
        self.refused = status

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if self.refused == 403 and not path.endswith("aggregated/instances"):
            return 403, _error(403, "forbidden", f"Required 'compute.get' permission for '{path}'")
        if self.refused == 401:
            return 401, _error(401, "authError", "Invalid Credentials")
        if path in self.resources:
            return 200, self.resources[path]
        return 404, _error(404, "notFound", f"The resource '{path}' was not found")


def _error(status: int, reason: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


def _account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account", "project_id": "acme", "private_key_id": "1", "private_key": key.decode(),
        "client_email": "doctor@acme.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
    }  # fmt: skip


@contextlib.contextmanager
def compute_engine(folder: Path) -> Iterator[Engine]:
    """The API in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            self._send(*engine.answer(path.removeprefix("/compute/v1/")))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        engine = Engine(f"http://127.0.0.1:{server.server_port}", folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield engine
        finally:
            server.shutdown()
