"""A STAC API on loopback whose items the test adds, and which fails when it is told to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CONFORMS = [f"https://api.stacspec.org/v1.0.0/{part}" for part in ("core", "item-search")]


@dataclass
class StacApi:
    """The server's items, and what it does wrong."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    """Of searches."""
    page: int = 1000
    """Items on a page."""
    searches: list[dict[str, Any]] = field(default_factory=list)

    def add(self, identity: str, moment: str, bbox: tuple[float, float, float, float], **fields: Any) -> dict[str, Any]:
        """Add an item of the collection s2."""
        west, south, east, north = bbox
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item = {
            "type": "Feature", "stac_version": "1.1.0", "id": identity, "collection": "s2", "bbox": list(bbox),
            "geometry": {"type": "Polygon", "coordinates": [ring]}, "links": [], "assets": fields.pop("assets", {}),
            "properties": {"datetime": moment, **fields},
        }  # fmt: skip
        self.items.append(item)
        return item

    def answer(self, terms: dict[str, Any]) -> dict[str, Any]:
        """A page of a search. As some servers do, it filters by collection only: the rest is the client's."""
        self.searches.append(terms)
        start = int(terms.get("token") or 0)
        found = [item for item in self.items if item["collection"] in terms.get("collections", ["s2"])]
        links = []
        if start + self.page < len(found):
            body = {**terms, "token": str(start + self.page)}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}]
        return {"type": "FeatureCollection", "features": found[start : start + self.page], "links": links}

    def landing(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}]
        links += [
            {"rel": "search", "href": f"{self.url}/search", "method": method, "type": "application/geo+json"}
            for method in ("GET", "POST")
        ]
        return {
            "type": "Catalog", "id": "api", "stac_version": "1.1.0", "description": "A test's.", "conformsTo": _CONFORMS,
            "links": links,
        }  # fmt: skip


@contextlib.contextmanager
def stac_api() -> Iterator[StacApi]:
    """A server, for as long as the context lasts."""
    api = StacApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, api.landing())

        def do_POST(self) -> None:
            terms = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if api.status == 200:
                self._send(200, api.answer(terms))
            else:
                self._send(api.status, {"description": "not now"})

        def _send(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
