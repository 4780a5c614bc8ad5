"""A server cannot hold a search: documents, pages, bytes and time have limits, and a broken paging ends it."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.errors import ImageryError, ReadFailed
from swath.imagery.sources.stac import find_scenes
from swath.imagery.sources.stac_items import find_items
from swath.imagery.sources.stac_reader import StacLimits
from swath.spec.fields.imagery import StacImagery

ITEM = {
    "type": "Feature", "stac_version": "1.0.0", "id": "one", "geometry": None, "properties": {"datetime": "2020-01-01T00:00:00Z"},
    "links": [], "assets": {"red": {"href": "file:///etc/hostname"}},
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    """Endless children at /deep, an endless page at /search, a body without an end at /big, a byte now and then at /slow."""

    asked = 0

    def _send(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        type(self).asked += 1
        here = f"http://{self.headers['Host']}"
        if self.path.startswith("/deep"):
            child = [{"rel": "child", "href": f"{here}{self.path}x"}]
            return self._send({"type": "Catalog", "id": "deep", "links": child})
        if self.path == "/item":
            return self._send(ITEM)
        if self.path == "/local":
            links = [{"rel": "item", "href": "file:///etc/hostname"}]
            return self._send({"type": "Catalog", "id": "local", "links": links})
        if self.path in ("/big", "/slow"):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" " * (1 if self.path == "/slow" else 1 << 16))
                    time.sleep(0.05 if self.path == "/slow" else 0)
            except OSError:
                return None
        return self._send(
            {
                "type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "an API",
                "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
                "links": [
                    {"rel": "search", "href": f"{here}/search", "type": "application/geo+json", "method": "POST"},
                    {"rel": "root", "href": here},
                ],
            }
        )  # fmt: skip

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        again = {"rel": "next", "href": f"http://{self.headers['Host']}/search", "method": "POST", "body": {"page": 1}}
        self._send({"type": "FeatureCollection", "features": [ITEM], "links": [again]})

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Counting", (Handler,), {})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    served.daemon_threads = True
    served.block_on_close = False
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", handler
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.mark.parametrize(
    ("path", "limits", "message"),
    [
        ("/deep", StacLimits(documents=5), "more than 5 documents"),
        ("/deep", StacLimits(total_bytes=500), "more than 500 bytes"),
        ("/deep", StacLimits(total_s=0.5), "took longer than 0.5 s"),
        ("/big", StacLimits(document_bytes=100_000), "a document of more than 100,000 bytes"),
    ],
)
def test_a_catalogue_without_an_end_is_refused_at_the_limit(
    server: tuple[str, type[Handler]], path: str, limits: StacLimits, message: str
) -> None:
    with pytest.raises(ImageryError, match=message) as failed:
        find_items(StacImagery(catalog=server[0] + path), None, limits)
    assert server[0] in str(failed.value)
    assert "Narrow the search" in failed.value.remedy


def test_a_byte_now_and_then_holds_no_search(server: tuple[str, type[Handler]]) -> None:
    start = time.monotonic()
    with pytest.raises(ReadFailed, match="/slow: the document did not arrive within 1 s"):
        find_items(StacImagery(catalog=f"{server[0]}/slow"), None, StacLimits(document_s=0.6))
    assert time.monotonic() - start < 5


def test_a_page_without_a_new_item_ends_the_search_with_a_warning(server: tuple[str, type[Handler]]) -> None:
    address, handler = server
    notes: list[str] = []
    found = find_items(StacImagery(api=address), None, notes=notes)
    assert [item.id for item in found] == ["one"]
    assert notes == [f"{address}: the server's paging is broken: a page brought no new item, and ended the search"]
    assert handler.asked == 3


def test_an_item_from_the_network_names_no_file_of_this_machine(server: tuple[str, type[Handler]]) -> None:
    address, _ = server
    for imagery in (
        StacImagery(catalog=f"{address}/item", bands=("red",)),
        StacImagery(api=address, bands=("red",)),
        StacImagery(catalog=f"{address}/local", bands=("red",)),
    ):
        with pytest.raises(
            ImageryError, match="an item from the network names a file of this machine: file:///etc/hostname"
        ):
            find_scenes(imagery, None, None)


def test_a_catalogue_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(ImageryError, match=f"{path}: not a file"):
            find_items(StacImagery(catalog=str(path)), None)


@pytest.mark.parametrize("part", ["geometry", "properties"])
def test_an_item_that_is_nested_too_deeply_is_named(tmp_path: Path, part: str) -> None:
    deep: Any = {"type": "Point", "coordinates": [0, 0]} if part == "geometry" else 1
    for _ in range(200):
        deep = {"type": "GeometryCollection", "geometries": [deep]} if part == "geometry" else [deep]
    item = (
        {**ITEM, "geometry": deep}
        if part == "geometry"
        else {**ITEM, "properties": {**ITEM["properties"], "deep": deep}}
    )
    (tmp_path / "item.json").write_text(json.dumps(item))
    with pytest.raises(ImageryError, match=r"item\.json: too deeply nested"):
        find_items(StacImagery(catalog=str(tmp_path / "item.json")), None)
