"""Sensor `http`: a document, or a value in it, that changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from swath.errors import SwathError
from swath.sensors.http import look
from swath.triggers.look import Look
from swath.triggers.trigger import HttpSensor


class Page:
    """A document on loopback."""

    url, body, status = "", b"{}", 200


@pytest.fixture
def page() -> Iterator[Page]:
    this = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(this.status)
            self.send_header("Content-Length", str(len(this.body)))
            self.end_headers()
            self.wfile.write(this.body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    this.url = f"http://127.0.0.1:{server.server_address[1]}/latest"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield this
    server.shutdown()
    server.server_close()
    thread.join()


def looked(page: Page, folder: Path, **fields: Any) -> Look:
    return look(HttpSensor(url=page.url, spec=str(folder / "s"), **fields), None, 0, folder)


def test_another_content_is_another_key(page: Page, tmp_path: Path) -> None:
    keys = []
    for body in (b"one", b"two", b"one"):
        page.body = body
        keys.append(looked(page, tmp_path).found[0].key)
    assert keys[0] == keys[2] != keys[1]


def test_only_the_value_at_the_pointer_counts(page: Page, tmp_path: Path) -> None:
    page.body = b'{"time": 1, "latest": [{"id": "v7"}]}'
    (found,) = looked(page, tmp_path, pointer="/latest/0/id").found
    assert (found.key, found.values["value"]) == ("v7", "v7")


@pytest.mark.parametrize("body", [b"no json", b'{"other": 1}', b'{"latest": []}', b"[" * 100_000])
def test_a_document_without_the_value_is_an_error(page: Page, tmp_path: Path, body: bytes) -> None:
    page.body = body
    with pytest.raises(SwathError, match="no JSON with a value at /latest/0"):
        looked(page, tmp_path, pointer="/latest/0")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_answer_that_is_no_document_is_an_error(page: Page, tmp_path: Path, status: int) -> None:
    page.status = status
    with pytest.raises(SwathError, match=str(status)):
        looked(page, tmp_path)
