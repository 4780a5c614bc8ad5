"""STAC items: which of a catalogue or an API pass the filters, and where they lie."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import shapely
from shapely.geometry import box

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.graph.call_context import reporting_to
from swath.imagery.sources.stac import find_scenes
from swath.imagery.sources.stac_items import find_items, item_footprint, parse_interval
from swath.imagery.sources.stac_reader import StacLimits
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import StacImagery
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items

TILE = "S2A_29RKH_20200219_0_L2A"


TWIN = "S2A_29RKH_as_28N_derived"


def spec(shared: Path, **said: Any) -> StacImagery:
    return StacImagery(catalog=str(shared / "data/stac/catalog.json"), **said)


def item(shared: Path, name: str) -> pystac.Item:
    """A provider's item as its server gives it: relative hrefs are addresses, nothing is there to be opened."""
    document = json.loads((shared / f"data/stac/items_only/{name}.json").read_text())
    return pystac.Item.from_dict(document, href=f"https://stac.invalid/{name}.json", migrate=True)


def ids(found: list[pystac.Item]) -> list[str]:
    return [one.id for one in found]


def test_items_come_by_time_then_id_whatever_the_catalogues_order(shared: Path) -> None:
    found = ids(find_items(spec(shared), None))
    assert found == [
        "LC08_L2SP_008059_20191201_20200825_02_T1",
        TILE,
        TWIN,
        "LC08_L2SP_001062_20201031_20201106_02_T2",
    ]
    assert ids(find_items(spec(shared, limit=2), None)) == found[:2]


def test_each_filter_drops_its_items(shared: Path) -> None:
    assert ids(find_items(spec(shared, datetime="2020"), None))[0] == TILE
    assert ids(find_items(spec(shared, datetime="2020-02/2020-03"), None)) == [TILE, TWIN]
    assert ids(find_items(spec(shared, datetime="2020-03-01/.."), None))[0].startswith("LC08")
    # The twin does not say its clouds, so it stays.
    assert ids(find_items(spec(shared, cloud_cover=4.0), None)) == [TWIN]
    assert ids(find_items(spec(shared, ids=(TWIN,)), None)) == [TWIN]
    amazon = Area(wkt=box(-66, -3, -65, -2.5).wkt)
    assert ids(find_items(spec(shared), amazon)) == ["LC08_L2SP_001062_20201031_20201106_02_T2"]


def test_no_items_says_which_filter_dropped_how_many(shared: Path) -> None:
    with pytest.raises(ImageryError, match="no items; dropped: 3 by datetime, 1 by cloud_cover"):
        find_items(spec(shared, datetime="2019", cloud_cover=5.0), None)
    with pytest.raises(ImageryError, match="dropped: 4 by area"):
        find_items(spec(shared), Area(wkt=box(10, 45, 11, 46).wkt))
    with pytest.raises(ImageryError, match="dropped: 4 by collections"):
        find_items(spec(shared, collections=("sentinel-2-l2a",)), None)


def test_a_catalogue_that_is_not_one_is_an_error_with_its_name(tmp_path: Path) -> None:
    for content in ("{", "[]", "{}", '{"type": "Topology"}', "<html>"):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(ImageryError, match=r"c\.json"):
            find_items(StacImagery(catalog=str(tmp_path / "c.json")), None)
    with pytest.raises(ImageryError, match=r"absent\.json"):
        find_items(StacImagery(catalog=str(tmp_path / "absent.json")), None)


@pytest.mark.parametrize("name", ["LT05_087017_antimeridian", "S2A_T01LAC_L1C_antimeridian", "S2A_T01WCP_antimeridian"])
def test_items_over_the_antimeridian_lie_on_both_sides_and_nowhere_else(shared: Path, name: str) -> None:
    found = item(shared, name)
    ground = item_footprint(found)
    assert found.bbox is not None
    west, south, east, north = found.bbox
    assert west > east
    assert ground.intersects(shapely.Point(180, (south + north) / 2)) or ground.intersects(box(179, south, 180, north))
    assert ground.intersects(box(-180, south, -179, north))
    assert not ground.intersects(box(-170, south, 170, north))
    found.geometry = None
    by_box = item_footprint(found)
    assert by_box.contains(shapely.Point(-179.99, (south + north) / 2))
    assert by_box.contains(shapely.Point(179.99, (south + north) / 2))
    assert not by_box.intersects(box(-170, south, 170, north))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59.999999"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59.999999"),
        ("2024-06/2024-08", "2024-06-01T00:00:00", "2024-08-31T23:59:59.999999"),
        ("2024-06-01", "2024-06-01T00:00:00", "2024-06-01T23:59:59.999999"),
        ("2024-06-01T10:30:00+02:00/..", "2024-06-01T08:30:00", None),
        ("../2024-06-01T10:30:00Z", None, "2024-06-01T10:30:00"),
    ],
)
def test_an_interval_is_all_of_its_ends(text: str, first: str | None, last: str | None) -> None:
    def moment(said: str | None) -> datetime | None:
        return datetime.fromisoformat(said).replace(tzinfo=UTC) if said else None

    assert parse_interval(text) == (moment(first), moment(last))


@pytest.mark.parametrize(
    "text", ["2024-13", "yesterday", "2024-01-01/2024-02/2024-03", "2024-05/2024-02", "2023-02-29"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ImageryError, match=r"imagery\.datetime"):
        parse_interval(text)


class Api(BaseHTTPRequestHandler):
    """A STAC API with item search: pages of one item, POST."""

    features: list[dict[str, Any]]
    asked: list[dict[str, Any]]
    status = 200

    def _send(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path.endswith(".tif"):
            self._send_range(Path(self.path).read_bytes())
            return
        here = f"http://{self.headers['Host']}"
        self._send(
            {
                "type": "Catalog",
                "id": "api",
                "stac_version": "1.0.0",
                "description": "a small API",
                "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
                "links": [
                    {"rel": "self", "href": here},
                    {"rel": "root", "href": here},
                    {"rel": "search", "href": f"{here}/search", "type": "application/geo+json", "method": "POST"},
                ],
            }
        )

    def _send_range(self, data: bytes) -> None:
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(start) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(part)

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(query)
        page = query.get("page", 0)
        links = []
        if page + 1 < len(self.features):
            here = f"http://{self.headers['Host']}/search"
            links = [{"rel": "next", "href": here, "method": "POST", "body": {"page": page + 1}, "merge": True}]
        self._send({"type": "FeatureCollection", "features": self.features[page : page + 1], "links": links})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Quiet."""


@pytest.fixture
def api(shared: Path) -> Iterator[tuple[str, type[Api]]]:
    features = []
    for name in (TWIN, TILE):
        document = json.loads((shared / f"data/stac/{name}/{name}.json").read_text())
        document["collection"] = "sentinel-2"
        document["links"] = []
        for asset in document["assets"].values():
            asset["href"] = str(shared / f"data/stac/{name}" / asset["href"])
        features.append(document)
    handler = type("Handler", (Api,), {"features": features, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_api_is_searched_page_by_page_with_every_filter(api: tuple[str, type[Api]]) -> None:
    address, handler = api
    imagery = StacImagery(
        api=address, collections=("sentinel-2",), datetime="2020-02", cloud_cover=50.0, ids=(TILE, TWIN), bands=("red",)
    )
    found = find_scenes(imagery, None, Area(wkt=box(-11.9, 24.5, -11.5, 25.1).wkt))
    assert [one.id for one in found.scenes] == [TILE, TWIN]
    assert len(handler.asked) == 2
    query = handler.asked[0]
    assert query["datetime"] == "2020-02-01T00:00:00Z/2020-03-01T00:00:00Z"
    assert query["collections"] == ["sentinel-2"]
    assert shapely.geometry.shape(query["intersects"]).bounds == (-11.9, 24.5, -11.5, 25.1)


def test_an_api_that_refuses_or_fails_is_said_so(api: tuple[str, type[Api]]) -> None:
    address, handler = api
    imagery = StacImagery(api=address, bands=("red",))
    handler.status = 403
    with pytest.raises(CredentialsError, match="answered 403"):
        find_items(imagery, None)
    handler.status = 404
    with pytest.raises(ImageryError, match=address):
        find_items(imagery, None)
    handler.status = 500
    with pytest.raises(ReadFailed) as failed:
        find_items(imagery, None)
    assert failed.value.retryable
    handler.status = 200
    with pytest.raises(ImageryError, match="more than 1 items"):
        find_items(imagery, None, StacLimits(items=1))


def test_a_broken_item_is_left_out_and_named(tmp_path: Path) -> None:
    good, bad = make_item("good", {"red": "./a.tif"}), make_item("bad", {"red": "./a.tif"}) | {"bbox": "no"}
    reported: list[str] = []
    notes: list[str] = []
    imagery = StacImagery(catalog=write_items(tmp_path, bad, good, {"type": "Feature"}))
    with reporting_to(lambda *_: None, "run", left_out=reported.append):
        assert ids(find_items(imagery, None, notes=notes)) == ["good"]
    assert "item bad: not a valid STAC item: bbox must be a list, not 'no'; " in reported[0]
    assert len(reported) == len(notes) == 2
    assert notes[0].startswith("set aside: ")
    with reporting_to(lambda *_: None, "run", left_out=reported.append):
        found = find_items(imagery.model_copy(update={"exclude": ("bad",)}), None)
    assert (ids(found), len(reported)) == (["good"], 3)
    with pytest.raises(ImageryError, match="item bad: not a valid"):
        find_items(StacImagery(catalog=write_items(tmp_path, bad)), None)


def test_an_item_document_that_is_broken_or_missing_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(make_item("good", {"red": "./a.tif"})))
    (tmp_path / "text.json").write_text("{")
    links = [{"rel": "item", "href": f"./{name}.json"} for name in ("text", "absent", "good")]
    catalog = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "c", "links": links}
    (tmp_path / "c.json").write_text(json.dumps(catalog))
    notes: list[str] = []
    assert ids(find_items(StacImagery(catalog=str(tmp_path / "c.json")), None, notes=notes)) == ["good"]
    assert ["text.json: not JSON" in notes[0], "absent.json" in notes[1], len(notes)] == [True, True, 2]


def test_an_item_without_the_band_is_left_out_unless_all_lack_it(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    catalog = write_items(tmp_path, make_item("good", {"red": "./a.tif"}), make_item("bad", {}))
    found = find_scenes(StacImagery(catalog=catalog, bands=("red",)), None, None)
    assert [scene.id for scene in found.scenes] == ["good"]
    assert found.notes[-1] == "set aside: item bad: has no assets"
    with pytest.raises(ImageryError, match="item bad: has no assets"):
        find_scenes(StacImagery(catalog=catalog, bands=("nir",)), None, None)


def test_an_item_without_a_time_is_used_but_in_no_interval(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    catalog = write_items(tmp_path, make_item("undated", {"red": "./a.tif"}, datetime=None))
    imagery = StacImagery(catalog=catalog, bands=("red",))
    (scene,) = find_scenes(imagery, None, None).scenes
    assert scene.datetime is None
    with pytest.raises(ImageryError, match="dropped: 1 by datetime"):
        find_scenes(imagery.model_copy(update={"datetime": "1970"}), None, None)


def test_an_item_of_swath_without_a_time_has_none_when_it_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    span = {"datetime": None, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"}
    catalog = write_items(
        tmp_path,
        make_item("new", {"red": "./a.tif"}, **span),
        make_item("old", {"red": "./a.tif"}, datetime="1970-01-01T00:00:00Z"),
    )
    found = find_scenes(StacImagery(catalog=catalog, bands=("red",)), None, None)
    assert [scene.datetime for scene in found.scenes] == [None, None]


def test_local_hrefs_may_have_percent_escapes(tmp_path: Path) -> None:
    folder = tmp_path / "my items"
    folder.mkdir()
    write(folder / "my scene.tif", np.ones((1, 4, 4), np.uint8))
    write(folder / "100%25.tif", np.ones((1, 4, 4), np.uint8))
    (folder / "an item.json").write_text(json.dumps(make_item("i", {"red": "./my%20scene.tif", "nir": "./100%25.tif"})))
    links = [{"rel": "item", "href": "./my%20items/an%20item.json"}]
    catalog = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "c", "links": links}
    (tmp_path / "c.json").write_text(json.dumps(catalog))
    bands = find_scenes(StacImagery(catalog=str(tmp_path / "c.json"), bands=("red", "nir")), None, None).scenes[0].bands
    assert [Path(band.href).name for band in bands] == ["my scene.tif", "100%25.tif"]
