"""Scenes from STAC: which items pass, which asset a band is, and what the metadata says of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from shapely.geometry import box

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.imagery.scene import Scene
from swath.imagery.sources.stac import find_scenes, scene_of
from swath.imagery.sources.stac_items import find_items, item_footprint, parse_interval
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import Mask, StacImagery

TILE = "S2A_29RKH_20200219_0_L2A"
TWIN = "S2A_29RKH_as_28N_derived"


def spec(shared: Path, **said: Any) -> StacImagery:
    return StacImagery(catalog=str(shared / "data/stac/catalog.json"), **said)


def item(shared: Path, name: str) -> pystac.Item:
    """A provider's item as its server gives it: relative hrefs are addresses, nothing is there to be opened."""
    document = json.loads((shared / f"data/stac/items_only/{name}.json").read_text())
    return pystac.Item.from_dict(document, href=f"https://stac.invalid/{name}.json", migrate=True)


def scene(found: pystac.Item, *names: str, **said: Any) -> tuple[Scene, list[str]]:
    notes: list[str] = []
    return scene_of(found, names, StacImagery(api="http://localhost", **said), notes), notes


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


def test_bands_are_found_by_asset_key_common_name_and_band_name(shared: Path) -> None:
    for names in (("B04", "B11"), ("red", "swir16"), ("b04", "SWIR16")):
        found = find_scenes(spec(shared, ids=(TILE,), bands=names), None, None).scenes[0]
        assert [Path(band.href).name for band in found.bands] == ["B04.tif", "B11.tif"]
    assert found.datetime == "2020-02-19T11:34:25.405000Z"
    assert found.cloud_cover == 4.051854


def test_an_unknown_band_is_answered_with_the_nearest_and_the_list(shared: Path) -> None:
    with pytest.raises(ImageryError, match=r"no band 'swir1' \(did you mean swir16\?\)\n  It has: B02,"):
        find_scenes(spec(shared, ids=(TILE,), bands=("swir1",)), None, None)
    with pytest.raises(ImageryError, match="4 is a number"):
        find_scenes(spec(shared, ids=(TILE,), bands=(4,)), None, None)
    with pytest.raises(ImageryError, match="say which bands"):
        find_scenes(spec(shared, ids=(TILE,)), None, None)


def test_metadata_makes_the_band_without_opening_the_file(shared: Path) -> None:
    found, _ = scene(item(shared, "S2A_T01WCP_antimeridian"), "red", mask=Mask(band="scl", kind="scl"))
    red = found.bands[0]
    assert red.href.endswith("R10m/T01WCP_20230625T234621_B04_10m.jp2")  # of four assets with that name: the finest
    assert (red.dtype, red.nodata, red.scale, red.offset) == ("uint16", 0, 0.0001, -0.1)
    assert red.geobox.shape == (10980, 10980)
    assert str(red.geobox.crs) == "EPSG:32601"
    assert found.quality is not None
    assert found.quality.geobox.shape == (5490, 5490)


def test_the_landsat_items_say_their_offset(shared: Path) -> None:
    found = find_scenes(spec(shared, datetime="2019", bands=("red",)), None, None)
    band = found.scenes[0].bands[0]
    assert (band.scale, band.offset) == (2.75e-5, -0.2)
    mine = find_scenes(spec(shared, datetime="2019", bands=("red",), scale=2.0), None, None)
    assert (mine.scenes[0].bands[0].scale, mine.scenes[0].bands[0].offset) == (2, -0.2)


@pytest.mark.parametrize(("applied", "offset"), [(True, 0), (False, -0.1), (None, -0.1)])
def test_an_offset_that_is_in_the_pixels_is_not_applied_again(
    shared: Path, applied: bool | None, offset: float
) -> None:
    found = item(shared, "S2A_T01WCP_antimeridian")
    if applied is not None:
        found.properties["earthsearch:boa_offset_applied"] = applied
    one, notes = scene(found, "red")
    assert (one.bands[0].scale, one.bands[0].offset) == (0.0001, offset)
    assert any("not applied again" in note for note in notes) == bool(applied)


def test_stac_1_1_bands_are_read_like_the_old_fields(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / f"data/stac/{TILE}/{TILE}.json").read_text())
    document["stac_version"] = "1.1.0"
    document["stac_extensions"] = []
    code = document["properties"].pop("proj:epsg")
    document["properties"]["proj:code"] = f"EPSG:{code}"
    for asset in document["assets"].values():
        old = asset.pop("raster:bands")[0]
        eo = asset.pop("eo:bands", [{}])[0]
        asset["href"] = str(shared / f"data/stac/{TILE}" / asset["href"])
        asset["data_type"] = old["data_type"]
        asset["bands"] = [
            {
                "name": eo.get("name", "scl"),
                "eo:common_name": eo.get("common_name"),
                "nodata": old["nodata"],
                "raster:scale": old.get("scale"),
                "raster:offset": -0.1,
            }
        ]
    (tmp_path / "item.json").write_text(json.dumps(document))
    new = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("nir",)), None, None)
    old_one = find_scenes(spec(shared, ids=(TILE,), bands=("nir",)), None, None)
    band, before = new.scenes[0].bands[0], old_one.scenes[0].bands[0]
    assert (band.geobox, band.dtype, band.nodata, band.scale) == (before.geobox, "uint16", 0, 0.0001)
    assert band.offset == -0.1


def test_what_the_item_leaves_out_is_read_from_the_file(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / f"data/stac/{TILE}/{TILE}.json").read_text())
    for asset in document["assets"].values():
        asset.pop("proj:transform")
        asset.pop("raster:bands")
        asset["href"] = str(shared / f"data/stac/{TILE}" / asset["href"])
    (tmp_path / "item.json").write_text(json.dumps(document))
    band = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("red",)), None, None).scenes[0].bands[0]
    told = find_scenes(spec(shared, ids=(TILE,), bands=("red",)), None, None).scenes[0].bands[0]
    assert (band.geobox, band.dtype, band.nodata) == (told.geobox, told.dtype, told.nodata)
    assert (band.scale, band.offset) == (0.0001, 0)  # a product of 2020, before baseline 04.00


def test_an_item_collection_is_read_and_its_doubles_counted_once(shared: Path, tmp_path: Path) -> None:
    features = []
    for name in (TILE, TWIN, TILE):
        document = json.loads((shared / f"data/stac/{name}/{name}.json").read_text())
        for asset in document["assets"].values():
            asset["href"] = str(shared / f"data/stac/{name}" / asset["href"])
        features.append(document)
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = find_scenes(StacImagery(catalog=str(path), bands=("red",)), ("red",), None)
    assert [one.id for one in found.scenes] == [TILE, TWIN]


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


def test_every_real_item_can_be_parsed(shared: Path) -> None:
    for path in sorted((shared / "data/stac/items_only").glob("*.json")):
        found = item(shared, path.stem)
        assert item_footprint(found).area > 0
        names = [n for n in ("red", "B04") if n in found.assets]
        if "raster:bands" in found.assets[names[0]].extra_fields:
            one, _ = scene(found, names[0])
            assert one.bands[0].geobox.shape[0] > 1000


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2024-06/2024-08", "2024-06-01T00:00:00", "2024-08-31T23:59:59"),
        ("2024-06-01", "2024-06-01T00:00:00", "2024-06-01T23:59:59"),
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
    assert query["datetime"] == "2020-02-01T00:00:00Z/2020-02-29T23:59:59Z"
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
        find_items(imagery, None, max_items=1)
