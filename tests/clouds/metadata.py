"""The metadata server of simulated machines: their identity, and preemption notices. One address with a path for each machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.clouds.machine import Machine


def serve_metadata(machine_of: Callable[[str], Machine | None]) -> str:
    """The address; a machine's own metadata are below /ID."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            name, _, path = self.path.lstrip("/").partition("?")[0].partition("/")
            machine = machine_of(name)
            text = None if machine is None else answer(machine, path)
            body = (text or "").encode()
            self.send_response(404 if text is None else 200)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def answer(machine: Machine, path: str) -> str | None:
    """Of either cloud; None when there is nothing at that path."""
    return {
        "latest/api/token": "simulated",
        "latest/meta-data/instance-id": machine.id,
        "latest/meta-data/spot/instance-action": json.dumps({"action": "terminate", "time": machine.notice})
        if machine.notice
        else None,
        "computeMetadata/v1/instance/preempted": "TRUE" if machine.notice else "FALSE",
        **machine.facts,
    }.get(path)
