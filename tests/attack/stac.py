"""STAC documents with random changes: items, catalogues, ItemCollections and the pages of an API on loopback."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from shapely.geometry import box

from swath.collection.inventory import Inventory
from swath.collection.load_plan import plan_load
from swath.imagery.sources.stac import find_scenes
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import Mask, StacImagery
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes, changed_document, cut_bytes, places
from tests.imagery.rasters import write

_LINKS = (("root", "root.json"), ("parent", "root.json"), ("item", "one.json"))
AREA = Area(wkt=box(-180, 44, -175, 47).wkt)
_ADDRESS = re.compile(rb"[a-z]+://[^\"]*")
_CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]


def good_item(raster: str, number: int = 1) -> dict[str, Any]:
    """An item of STAC 1.0 with the fields that catalogues write, of which one asset has to be opened."""
    stated = {
        "proj:epsg": 32601, "proj:shape": [32, 32], "proj:transform": [10.0, 0, 500000.0, 0, -10.0, 5000000.0, 0, 0, 1],
        "raster:bands": [{"data_type": "uint8", "nodata": 0, "scale": 0.1, "offset": -1.0, "spatial_resolution": 10}],
        "eo:bands": [{"name": "B04", "common_name": "red"}], "gsd": 10, "type": "image/tiff", "roles": ["data"],
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": "one" if number == 1 else f"item-{number}",
        "collection": "c",
        "geometry": {"type": "Polygon", "coordinates": [[[-177, 45], [-176, 45], [-176, 46], [-177, 46], [-177, 45]]]},
        "bbox": [-177, 45, -176, 46],
        "properties": {
            "datetime": "2020-01-01T00:00:00Z", "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-01T00:00:00Z",
            "eo:cloud_cover": 3.0, "platform": "sentinel-2a", "constellation": "sentinel-2", "s2:processing_baseline": "04.00",
            "earthsearch:boa_offset_applied": False, "updated": "2020-01-01T00:00:00Z",
        },
        "links": [{"rel": "self", "href": "https://stac.invalid/one.json"}],
        "assets": {
            "red": {"href": raster, **stated},
            "green": {"href": raster, "roles": ["data"]},
            "scl": {"href": raster, **stated, "eo:bands": []},
        },
    }  # fmt: skip


def plan(path: Path, **more: Any) -> None:
    """Plan a load of everything in a document."""
    imagery = StacImagery(
        catalog=str(path), bands=("red", "green"), repeat_bands=True, mask=Mask(band="scl", kind="scl"), **more
    )
    plan_load(
        imagery, Inventory(), area=AREA, grid=None, composite=None, physical=False, margin=0, blocksize=512, sheet=8192
    )


def _links(value: Any) -> Iterator[Any]:
    """All values of `href` in a document."""
    for place in places(value):
        if place[-1] == "href":
            found = value
            for key in place:
                found = found[key]
            yield found


class Stac(NoProcesses):
    """A load is planned of each document."""

    codes = frozenset({1, 2})  # 1: an asset could not be read, or the server does not answer

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        raster = folder / "scene.tif"
        write(raster, np.full((1, 32, 32), 4, np.uint8), crs="EPSG:32601")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.host = ("127.0.0.1", self._server.server_address[1])
        self._api = f"http://127.0.0.1:{self.host[1]}"
        item, second = good_item(str(raster)), good_item(str(raster), 2)
        for each in (
            item,
            second,
        ):  # a path without a scheme may become the address of an asset: it is below the item's own
            each["links"] = [{"rel": "self", "href": f"{self._api}/one.json"}]
        items = {"type": "FeatureCollection", "features": [item, second]}
        root = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "d",
            "links": [{"rel": "root", "href": "root.json"}, {"rel": "child", "href": "c.json"}],
        }  # fmt: skip
        extent = {
            "spatial": {"bbox": [[-180, 40, -170, 50]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        }
        collection = {
            "type": "Collection", "stac_version": "1.0.0", "id": "c", "description": "d", "license": "other", "extent": extent,
            "links": [{"rel": rel, "href": href} for rel, href in _LINKS],
        }  # fmt: skip
        self._documents: dict[str, Any] = {
            "one.json": item,
            "items.json": items,
            "root.json": root,
            "c.json": collection,
        }
        (folder / "api.json").write_text("the API of these inputs\n")
        self._pages = self._api_pages()
        _Handler.raster = raster.read_bytes()
        self._ran_api = False

    def _api_pages(self) -> dict[str, Any]:
        search = {"rel": "search", "href": f"{self._api}/search", "type": "application/geo+json", "method": "GET"}
        landing = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "d", "conformsTo": _CONFORMS,
            "links": [{"rel": "self", "href": f"{self._api}/"}, {"rel": "root", "href": f"{self._api}/"}, search],
        }  # fmt: skip
        remote = [good_item(f"{self._api}/scene.tif", number) for number in (1, 2)]
        for item in remote:
            item["links"] = [{"rel": "self", "href": f"{self._api}/one.json"}]
            for key in ("red", "green", "scl"):
                item["assets"][key] |= {name: value for name, value in item["assets"]["red"].items() if name != "href"}
        following = {"rel": "next", "href": f"{self._api}/search?page=2", "method": "GET"}
        return {
            "/": landing,
            "/search": {"type": "FeatureCollection", "features": remote[:1], "links": [following]},
            "/search?page=2": {"type": "FeatureCollection", "features": remote[1:], "links": []},
        }

    def unchanged(self) -> Iterator[Path]:
        for key, document in self._documents.items():
            (self._folder / key).write_text(json.dumps(document), encoding="utf-8")
        for key in self._documents:
            yield self._folder / key
        self._ran_api = True
        _Handler.pages = {key: json.dumps(value).encode() for key, value in self._pages.items()}
        yield self._folder / "api.json"

    def write(self, chance: random.Random) -> tuple[Path, str]:
        self._ran_api = chance.random() < 0.3
        documents = self._pages if self._ran_api else self._documents
        name = chance.choice(list(documents))
        texts = {key: json.dumps(value).encode() for key, value in documents.items()}
        if chance.random() < 0.85:
            document, done = changed_document(documents[name], chance)
            while self._ran_api and any(self._is_elsewhere(link) for link in _links(document)):
                document, done = changed_document(documents[name], chance)
            texts[name] = json.dumps(document).encode()
        else:
            change = chance.choice((changed_bytes, cut_bytes))
            changed = change(texts[name], chance)
            while self._ran_api and self._leads_elsewhere(changed, texts[name]):
                changed = change(texts[name], chance)
            texts[name], done = changed, change.__name__
        if self._ran_api:
            _Handler.pages = texts
            return self._folder / "api.json", f"page {name}: {done}"
        for key, data in texts.items():
            (self._folder / key).write_bytes(data)
        start = "root.json" if name == "c.json" else name
        return self._folder / start, f"{name}: {done}"

    def _is_elsewhere(self, href: Any) -> bool:
        return isinstance(href, str) and "://" in href and not href.startswith((f"{self._api}/", "file://"))

    def _leads_elsewhere(self, changed: bytes, good: bytes) -> bool:
        """Whether a page has an address of another server, which an API may have."""
        found = set(_ADDRESS.findall(changed)) - set(_ADDRESS.findall(good))
        return any(not address.startswith(f"{self._api}/".encode()) for address in found)

    def use(self, path: Path) -> None:
        if not self._ran_api:
            plan(path, cloud_cover=50.0, datetime="2019/2021")
            return
        imagery = StacImagery(api=self._api, collections=("c",), bands=("red", "green"), repeat_bands=True)
        find_scenes(imagery, None, AREA)

    def names(self, path: Path) -> tuple[str, ...]:
        """The document, the item or, where nothing is left of all items, the place that was searched."""
        if self._ran_api:
            return (self._api, "item one", "item item-2")
        return (path.name, "c.json", "one.json", "item one", "item item-2", "scene.tif")


class _Handler(BaseHTTPRequestHandler):
    """Answers with the pages, whatever else a request says."""

    pages: dict[str, bytes] = {}  # noqa: RUF012 - of the one server of the process
    raster = b""

    def do_GET(self) -> None:
        if self.path == "/scene.tif":
            self._send_range()
            return
        page = "page=2" if "page=2" in self.path else ""
        key = "/search?page=2" if page else "/search" if self.path.startswith("/search") else "/"
        body = self.pages.get(key, b"{}")
        self.send_response(200 if self.path.startswith(("/search", "/?")) or self.path == "/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_range(self) -> None:
        """The raster's bytes that are asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        stop = min(int(asked[2]) + 1 if asked and asked[2] else len(self.raster), len(self.raster))
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(self.raster)}")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(self.raster[start:stop])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
