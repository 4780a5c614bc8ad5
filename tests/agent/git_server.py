"""A git repository behind git's own HTTP server (git http-backend) on loopback, with a password where a test wants one."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PLAIN = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "ada@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
"""Environment of git without the settings of whoever runs the tests."""


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], env=PLAIN, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class GitServer:
    """Serves one bare repository; `work` is a clone of it to commit in."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "lakes.git"
        self.work = folder / "work"
        folder.mkdir()
        git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        git(folder, "clone", "-q", str(self.bare), str(self.work))
        git(self.work, "checkout", "-q", "-b", "main")
        self.token = ""
        """Requests must have it."""
        self.refused = 0
        """How many of the next requests are answered with 503."""
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/lakes.git"

    def commit(self, files: dict[str, str], *, amend: bool = False) -> str:
        """Commit and push files; the commit."""
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", "change", *(["--amend"] if amend else []))
        git(self.work, "push", "-q", "--force", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")

    def forget(self) -> None:
        """What no branch has any more is gone."""
        git(self.bare, "reflog", "expire", "--expire=now", "--all")
        git(self.bare, "gc", "-q", "--prune=now")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                return

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                server.requests.append(path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                given = self.headers.get("authorization", "")
                if server.refused:
                    server.refused -= 1
                    self.answer(503, b"")
                elif server.token and given != f"Basic {base64.b64encode(server.token.encode()).decode()}":
                    self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
                else:
                    self.backend(path, query, body)

            do_POST = do_GET

            def backend(self, path: str, query: str, body: bytes) -> None:
                about = {
                    "GIT_PROJECT_ROOT": str(server.bare.parent), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("content-type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""), "REMOTE_ADDR": "127.0.0.1",
                    "GIT_PROTOCOL": self.headers.get("git-protocol", ""), "CONTENT_LENGTH": str(len(body)),
                }  # fmt: skip
                done = subprocess.run(
                    ["git", "http-backend"], input=body, env=PLAIN | about, capture_output=True, check=False
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
                self.answer(int(headers.pop("Status", "200").split()[0]), content, headers)

            def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler
