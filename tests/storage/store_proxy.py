"""A proxy before a simulated object store that fails, loses answers, cuts and changes bodies, and delays, by seed and rate."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.imagery.servers import simulated_gs, simulated_s3

ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST"}
"""The variable that names the address of a simulated store."""
_RANDOM = re.compile(r"(?<=uploadId=)[^&]+|(?<=\.)[0-9a-f]{8}(?=\.part)")
"""In addresses of uploads: the same seed has the same faults whatever the ids."""
HTML = b"<!DOCTYPE html><title>Sign in</title><p>Sign in to this network."
EXPIRED = {
    "s3": b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
    "gs": b'{"error": {"code": 401, "message": "The access token has expired."}}',
}


@dataclass(frozen=True)
class StoreFaults:
    """The share of requests, 0 to 1, with each fault; at most one of them happens to a request."""

    fail: float = 0.0
    """503, without an effect."""
    lose: float = 0.0
    """The request takes effect, and the connection ends without an answer."""
    cut: float = 0.0
    """The body of an answer ends half way."""
    corrupt: float = 0.0
    """One bit of the content of an object is changed on its way to the reader."""
    html: float = 0.0
    """200, with the page of a proxy instead of the answer."""
    delay: float = 0.0
    """The answer comes `delay_s` late."""
    delay_s: float = 0.2
    expired: bool = False
    """Every request is answered as with a token that has expired."""
    methods: frozenset[str] = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
    """Requests of other methods have no fault."""
    within: str = ""
    """Requests whose address does not hold this text have no fault."""

    def draw(self, chance: random.Random, method: str, address: str) -> str:
        """The fault of one request; empty for none."""
        if method not in self.methods or self.within not in address:
            return ""
        drawn = chance.random()
        for name in ("fail", "lose", "cut", "corrupt", "html", "delay"):
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return ""


@dataclass
class StoreProxy:
    """The proxy of one store. `faults` may be replaced at any time.

    The n-th request for an address gets the same fault whatever happens to other addresses at that time.
    """

    kind: str
    upstream: str
    seed: int = 0
    faults: StoreFaults = field(default_factory=StoreFaults)
    address: str = ""
    happened: Counter[str] = field(default_factory=Counter)
    """Faults by name."""
    requests: list[str] = field(default_factory=list)
    """Method and address of each request."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _times: Counter[str] = field(default_factory=Counter)

    def fault(self, method: str, address: str) -> str:
        """The fault of a request that has just come."""
        with self.lock:
            which = f"{method} {address}"
            self.requests.append(which)
            alike = _RANDOM.sub("", which)
            self._times[alike] += 1
            chance = random.Random(f"{self.seed} {alike} {self._times[alike]}")
            return "expired" if self.faults.expired else self.faults.draw(chance, method, address)

    def count(self, fault: str) -> None:
        with self.lock:
            self.happened[fault] += 1

    def environment(self, store: Mapping[str, str]) -> dict[str, str]:
        """The environment of the store, which leads to the proxy."""
        return {**store, ENDPOINTS[self.kind]: self.address}


def _handler(proxy: StoreProxy) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(proxy.upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def forward(self) -> None:
            body = self._body()
            fault = proxy.fault(self.command, self.path)
            if fault in ("fail", "html", "expired"):
                proxy.count(fault)
                status = {"fail": 503, "html": 200, "expired": 400 if proxy.kind == "s3" else 401}[fault]
                page = {"fail": b"", "html": HTML, "expired": EXPIRED[proxy.kind]}[fault]
                kind = "text/html" if fault == "html" else "application/octet-stream"
                self._answer(status, [("Content-Type", kind)], page)
                return
            upstream = HTTPConnection(host, timeout=30)
            try:
                skipped = ("connection", "transfer-encoding", "content-length", "host", "expect", "content-encoding")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
                coding = self.headers.get("Content-Encoding", "").replace("aws-chunked", "").strip(", ")
                if coding:
                    headers["Content-Encoding"] = coding
                upstream.request(
                    self.command, self.path, body, {**headers, "Host": host, "Content-Length": str(len(body))}
                )
                answer = upstream.getresponse()
                content = answer.read()
            finally:
                upstream.close()
            if fault == "lose":
                proxy.count(fault)
                self.close_connection = True
                return
            if fault == "delay":
                proxy.count(fault)
                time.sleep(proxy.faults.delay_s)
            cut = fault == "cut" and len(content) > 1
            if cut:
                proxy.count(fault)
            if fault == "corrupt" and self.command == "GET" and content and self._is_content(answer.getheaders()):
                proxy.count(fault)
                changed = bytearray(content)
                changed[len(content) // 2] ^= 4
                content = bytes(changed)
            kept = [
                (name, value.replace(proxy.upstream, proxy.address))
                for name, value in answer.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "content-length")
            ]
            size = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, kept, content, cut=cut, size=size)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def _is_content(self, headers: list[tuple[str, str]]) -> bool:
            """Whether an answer is the content of an object, not a document about it."""
            kinds = [value for name, value in headers if name.lower() == "content-type"]
            if proxy.kind == "gs":
                return "alt=media" in self.path or not self.path.startswith("/storage/")
            return not any("xml" in kind for kind in kinds)

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                return b"".join(self._chunks())
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return _unpacked(body) if "aws-chunked" in self.headers.get("Content-Encoding", "") else body

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            content: bytes,
            *,
            cut: bool = False,
            size: str | None = None,
        ) -> None:
            with contextlib.suppress(OSError):
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", size or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    return Handler


def _unpacked(body: bytes) -> bytes:
    """The content of a body in chunks of S3: sizes in hexadecimal, with signatures, and checksums at the end."""
    parts, at = [], 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size:
            break
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: clients may go away."""


@contextlib.contextmanager
def store_proxy(kind: str, upstream: str, seed: int = 0) -> Iterator[StoreProxy]:
    """A proxy before the store of a kind, s3 or gs, at an address; without faults until some are set."""
    proxy = StoreProxy(kind, upstream, seed)
    with _Server(("127.0.0.1", 0), _handler(proxy)) as server:
        proxy.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def faulty_store(kind: str, scratch: Path, seed: int = 0) -> Iterator[tuple[StoreProxy, dict[str, str]]]:
    """A simulated store with the bucket `pixels`, and a proxy before it. Yields the proxy, and the environment that leads there."""
    served = scratch / "served"
    served.mkdir(parents=True)
    (served / "here").write_text("a bucket is there when something is in it")
    simulated = simulated_s3(served) if kind == "s3" else simulated_gs(served, scratch / "gs")
    with simulated as environment, store_proxy(kind, environment[ENDPOINTS[kind]], seed) as proxy:
        yield proxy, proxy.environment(environment)
