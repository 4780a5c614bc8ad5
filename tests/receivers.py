"""Servers on loopback that take what a run sends: webhooks, traces, mail. Real sockets, and they keep what came."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Web:
    """An HTTP server; `answer` gives the status of the n-th request, from 1."""

    answer: Callable[[int], int] = lambda _: 200
    delay_s: float = 0.0
    """Time before an answer; it ends with the block."""
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


@contextlib.contextmanager
def web(answer: Callable[[int], int] = lambda _: 200, delay_s: float = 0.0) -> Iterator[Web]:
    """A server that answers POSTs until the block ends."""
    this = Web(answer, delay_s)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            this.bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            this.paths.append(self.path)
            this.headers.append(dict(self.headers))
            status = this.answer(len(this.bodies))
            this.over.wait(this.delay_s)
            with contextlib.suppress(OSError):
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", f"{this.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        this.port = server.server_address[1]
        try:
            yield from _serving(server, this)
        finally:
            this.over.set()


@dataclass
class Mail:
    """A mail server; it takes the one password that it is given, or any when there is none."""

    password: str = ""
    port: int = 0
    letters: list[str] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)


@contextlib.contextmanager
def mail(password: str = "") -> Iterator[Mail]:
    """An SMTP server (RFC 5321, AUTH PLAIN and LOGIN) until the block ends."""
    this = Mail(password)

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def ask(self, prompt: str = "") -> str:
            self.say(f"334 {prompt}".rstrip())
            return base64.b64decode(self.rfile.readline()).decode()

        def login(self, words: list[str]) -> None:
            if words[1].upper() == "PLAIN":
                said = base64.b64decode(words[2]).decode() if len(words) > 2 else self.ask()
                password = said.split("\0")[2]
            else:
                if len(words) < 3:
                    self.ask(base64.b64encode(b"Username:").decode())
                password = self.ask(base64.b64encode(b"Password:").decode())
            right = password == this.password
            this.logins.append(right)
            self.say("235 2.7.0 welcome" if right else "535 5.7.8 wrong")

        def handle(self) -> None:
            self.say("220 loopback")
            while line := self.rfile.readline().decode("utf-8", "replace").strip():
                words = line.split()
                match words[0].upper():
                    case "EHLO":
                        self.say("250-loopback")
                        self.say("250-8BITMIME")
                        self.say("250 AUTH PLAIN LOGIN")
                    case "AUTH":
                        self.login(words)
                    case "DATA":
                        self.say("354 go on")
                        lines = []
                        while (part := self.rfile.readline()) not in (b".\r\n", b""):
                            lines.append(part.decode("utf-8", "replace"))
                        this.letters.append("".join(lines))
                        self.say("250 taken")
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        this.port = server.server_address[1]
        yield from _serving(server, this)


def _serving(server: socketserver.BaseServer, this: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield this
    finally:
        server.shutdown()
        thread.join()
