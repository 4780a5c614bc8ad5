"""A web server on loopback for the imagery tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Files(BaseHTTPRequestHandler):
    """Serves a folder with ranges. `faults` maps a path to a status that is answered instead, `cut` to how many transfers
    break off half way; `asked` counts requests; while `hang` is there, answers wait for it."""

    folder: Path
    faults: dict[str, int]
    cut: dict[str, int]
    asked: dict[str, int]
    hang: threading.Event | None = None

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = self.path.split("?")[0].lstrip("/")
        self.asked[name] = self.asked.get(name, 0) + 1
        if self.hang is not None:
            self.hang.wait(30)
        file = self.folder / name
        status = self.faults.get(name) or (200 if file.is_file() else 404)
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = file.read_bytes()
        start, stop = 0, len(data)
        wanted = self.headers.get("Range")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1 if last else len(data), len(data))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", f'"{hash(data)}"')
        self.end_headers()
        if body:
            left = self.cut.get(name, 0)
            if left and start > 0:
                self.cut[name] = left - 1
                stop = start + (stop - start) // 2
                self.close_connection = True
            self.wfile.write(data[start:stop])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Does not tell of readers that went away."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[[], tuple[str, type[Files]]]]:
    """Start a server for a fresh folder; call it for (address, handler with its folder and faults)."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = type("Handler", (Files,), {"folder": folder, "faults": {}, "cut": {}, "asked": {}})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield lambda: (f"http://127.0.0.1:{server.server_port}", handler)
    server.shutdown()
    thread.join()
    server.server_close()
