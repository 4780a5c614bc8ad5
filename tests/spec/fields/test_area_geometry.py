"""Areas of interest: every spelling of one area is the same area, and what is no area is refused."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import AreaError
from swath.spec.fields.area_geometry import AreaGeometry, from_bbox, from_file, from_geojson, from_wkt, is_wkt

RAT_ISLANDS = ["split", "unsplit", "wrapped"]


def geometry(shape: AreaGeometry) -> Any:
    found = shapely.from_wkt(shape.wkt)
    assert found.is_valid
    assert not found.is_empty
    assert found.geom_type in ("Polygon", "MultiPolygon")
    return found


def ring(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(point) for point in (*points, points[0])]]}


@pytest.fixture
def aoi(shared: Path) -> Path:
    return shared / "data" / "aoi"


@pytest.mark.parametrize("spelling", RAT_ISLANDS)
def test_three_spellings_across_the_antimeridian_are_one_area(aoi: Path, spelling: str) -> None:
    expected = shapely.union(shapely.box(179.3, 51.3, 180, 52.2), shapely.box(-180, 51.3, -179.2, 52.2))
    path = aoi / f"rat_islands_antimeridian_{spelling}.geojson"
    shapes = [
        from_file(str(path), Path()),
        from_geojson(json.loads(path.read_text())),
        from_file("aoi.gpkg", aoi, layer=f"rat_islands_antimeridian_{spelling}"),
        from_bbox((179.3, 51.3, -179.2, 52.2)),
        from_bbox((179.3, 51.3, 180.8, 52.2)),
        from_bbox((-180.7, 51.3, -179.2, 52.2)),
    ]
    for shape in shapes:
        found = geometry(shape)
        assert found.symmetric_difference(expected).area < 1e-9
        assert found.bounds == (-180, 51.3, 180, 52.2)
        assert len(found.geoms) == 2


def test_a_split_area_needs_no_note_and_the_others_say_what_was_done(aoi: Path) -> None:
    notes = [from_file(f"rat_islands_antimeridian_{spelling}.geojson", aoi).notes for spelling in RAT_ISLANDS]
    jump, split = "a ring that jumps over the antimeridian is read as crossing it", "split at the antimeridian"
    assert notes == [(), (split,), (jump, split)]


@given(st.floats(-180, 180), st.floats(0.1, 170), st.floats(-80, 70), st.floats(0.1, 10))
def test_any_box_keeps_its_extent_wherever_it_is(west: float, width: float, south: float, height: float) -> None:
    bounds = (west, south, west + width, south + height)
    found = geometry(from_bbox(bounds))
    assert found.area == pytest.approx(width * height, rel=1e-6)
    assert -180 <= found.bounds[0] <= found.bounds[2] <= 180
    east = west + width - 360 if west + width > 180 else west + width
    wrapped = ring((west, south), (east, south), (east, south + height), (west, south + height))
    assert geometry(from_geojson(wrapped)).symmetric_difference(found).area < 1e-6


def test_a_hole_beyond_the_antimeridian_stays_a_hole() -> None:
    shell = [[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]
    hole = [[-178, 4], [-176, 4], [-176, 6], [-178, 6], [-178, 4]]
    found = geometry(from_geojson({"type": "Polygon", "coordinates": [shell, hole]}))
    assert found.area == pytest.approx(200 - 4)
    assert not found.contains(shapely.Point(-177, 5))


def test_the_whole_world_is_not_taken_for_a_crossing() -> None:
    world = ring((-180, -90), (180, -90), (180, 90), (-180, 90))
    assert geometry(from_geojson(world)).area == 360 * 180
    assert from_geojson(world).notes == ()
    assert geometry(from_bbox((-180, -90, 180, 90))).area == 360 * 180


def test_an_area_around_a_pole_is_refused_with_a_remedy() -> None:
    with pytest.raises(AreaError, match="polar CRS"):
        from_geojson(ring((-120, 60), (0, 60), (120, 60)))


def test_longitudes_up_to_360_are_turned_back() -> None:
    assert geometry(from_bbox((350, 0, 355, 1))).bounds == (-10, 0, -5, 1)


def test_the_legacy_crs_member_of_geojson_counts(aoi: Path) -> None:
    path = aoi / "slovenia_border.geojson"
    shapes = [from_file(str(path), Path()), from_geojson(json.loads(path.read_text()))]
    for shape in shapes:
        assert shape.crs == "EPSG:32633"
        assert geometry(shape).area == pytest.approx(20.4e9, rel=0.01)
    assert geometry(shapes[0]).symmetric_difference(geometry(shapes[1])).area < 1


def test_crs84_is_degrees() -> None:
    value = ring((0, 0), (1, 0), (1, 1))
    value["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert from_geojson(value).crs == "EPSG:4326"


def test_metres_without_a_crs_are_refused_with_a_hint(tmp_path: Path) -> None:
    value = ring((389782, 5038223), (390000, 5038223), (390000, 5038900))
    (tmp_path / "a.geojson").write_text(json.dumps(value))
    for read in (
        lambda: from_geojson(value),
        lambda: from_file("a.geojson", tmp_path),
        lambda: from_bbox((389782, 5038223, 390000, 5038900)),
        lambda: from_wkt("POLYGON ((389782 5038223, 390000 5038223, 390000 5038900, 389782 5038223))"),
    ):
        with pytest.raises(
            AreaError, match="not degrees of longitude and latitude\n  If they are metres, give the CRS with"
        ):
            read()
    shape = from_file("a.geojson", tmp_path, crs="EPSG:32633")
    assert (shape.crs, shape.notes) == ("EPSG:32633", ("read as EPSG:32633, though the CRS of a.geojson is EPSG:4326",))


def test_a_self_crossing_ring_is_repaired_with_a_note() -> None:
    shape = from_wkt("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))")
    assert shape.notes == ("repaired: Self-intersection[1 1]",)
    assert geometry(shape).area == pytest.approx(2)


def test_only_polygons_are_left_of_a_repair() -> None:
    spike = from_wkt("POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0, -1 -1, 0 0))")
    assert geometry(spike).equals(shapely.box(0, 0, 1, 1))


def test_all_polygons_are_one_area() -> None:
    left, right = ring((0, 0), (2, 0), (2, 1), (0, 1)), ring((1, 0), (3, 0), (3, 1), (1, 1))
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in (left, None, right)]
    found = geometry(from_geojson({"type": "FeatureCollection", "features": features}))
    assert found.equals(shapely.box(0, 0, 3, 1))
    collection = {"type": "GeometryCollection", "geometries": [left, right]}
    assert geometry(from_geojson(collection)).equals(found)


def test_heights_are_left_out() -> None:
    assert not geometry(from_wkt("POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 0 5))")).has_z


def test_equal_areas_have_equal_text() -> None:
    assert from_wkt("POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))").wkt == from_bbox((0, 0, 1, 1)).wkt


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "expected polygons, found a Point"),
        ({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, "expected polygons, found a LineString"),
        ({"type": "FeatureCollection", "features": []}, "the area is empty"),
        ({"type": "Feature", "geometry": None}, "the area is empty"),
        ({"type": "Polygon", "coordinates": []}, "the area is empty"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "the area is empty"),
        ({"type": "Polygon"}, "cannot be read"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]}, "cannot be read"),
        ({"type": "Polygon", "coordinates": "x"}, "cannot be read"),
        ({"type": "FeatureCollection"}, "cannot be read"),
        ({"type": "FeatureCollection", "features": [3]}, "cannot be read"),
        ({"type": "Polygon", "coordinates": [], "crs": 3}, "the crs member is written"),
    ],
)
def test_geojson_that_is_no_area_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(AreaError, match=message):
        from_geojson(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_box_of_no_finite_numbers_is_refused(number: float) -> None:
    for corner in range(4):
        bbox = [0.0, 0.0, 1.0, 1.0]
        bbox[corner] = number
        with pytest.raises(AreaError):
            from_bbox(bbox)


def test_a_box_in_metres_does_not_cross_the_antimeridian() -> None:
    assert geometry(from_bbox((0, 0, 500, 500), "EPSG:32633")).area == 250_000
    with pytest.raises(AreaError, match=r"west .* is not left of east"):
        from_bbox((500, 0, 0, 500), "EPSG:32633")


@pytest.mark.parametrize(("west", "east"), [(-70, -71), (9.002, 9), (10, 0), (0, -10)])
def test_a_box_whose_west_and_east_are_exchanged_is_not_the_rest_of_the_earth(west: float, east: float) -> None:
    with pytest.raises(AreaError, match=r"west \(.*\) is not left of east .* a positive west and a negative east"):
        from_bbox((west, 40, east, 41))


def test_a_box_of_more_than_half_of_the_earth_is_not_its_complement() -> None:
    for west, east, width in ((100, -70, 190), (-170, 170, 340), (-100, 150, 250), (10, 350, 340)):
        found = geometry(from_bbox((west, -60, east, 60)))
        assert found.area == pytest.approx(width * 120)
        assert found.contains(shapely.Point((west + width / 3 + 180) % 360 - 180, 0))


def test_wkt_is_told_from_a_path() -> None:
    for text in (
        "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        " multipolygon(((",
        "Polygon Z ((",
        "SRID=4326;POLYGON ((",
        "POINT EMPTY",
    ):
        assert is_wkt(text)
    for text in ("polygon.geojson", "POLYGONS/a.gpkg", "areas/POLYGON ((", ""):
        assert not is_wkt(text)


def test_the_srid_of_wkt_counts() -> None:
    assert from_wkt("SRID=32633;POLYGON ((0 0, 1 0, 1 1, 0 0))").crs == "EPSG:32633"


def test_broken_wkt_is_refused() -> None:
    for text in ("POLYGON ((0 0, 1 0", "POLYGON ((0 0, 1 0, 1 1))", "POLYGON ((a b))", "nonsense"):
        with pytest.raises(AreaError, match="cannot be read as WKT"):
            from_wkt(text)


# Files


def test_several_layers_need_a_choice(aoi: Path) -> None:
    with pytest.raises(AreaError, match=r"has 9 layers; name one with .*andros_78w, inn_egglfing"):
        from_file("aoi.gpkg", aoi)
    with pytest.raises(AreaError, match=r"no layer 'inn_eglfing' \(did you mean 'inn_egglfing'\?\)"):
        from_file("aoi.gpkg", aoi, layer="inn_eglfing")
    assert from_file("aoi.gpkg", aoi, layer="inn_egglfing").wkt == from_file("inn_egglfing.geojson", aoi).wkt


def test_a_condition_chooses_features(shared: Path) -> None:
    folder = shared / "data" / "labels" / "landcover"
    file = "landsat8_224078_training.gpkg"
    every = from_file(file, folder, layer="polygons")
    one = from_file(file, folder, layer="polygons", where="fid = 1")
    assert 0 < geometry(one).area < geometry(every).area
    with pytest.raises(AreaError, match="no features that meet the condition"):
        from_file(file, folder, layer="polygons", where="fid = 999")
    with pytest.raises(AreaError, match="cannot be read with this condition"):
        from_file(file, folder, layer="polygons", where="no such (")
    with pytest.raises(AreaError, match="expected polygons, found a Point"):
        from_file(file, folder, layer="points")


def test_a_file_of_another_kind_is_refused(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("not GeoJSON")
    (tmp_path / "b.gpkg").write_bytes(b"")
    cases = [(tmp_path, "a.geojson"), (tmp_path, "b.gpkg"), (tmp_path, "."), (shared, "data/imagery/bahamas_rgb.tif")]
    for root, path in cases:
        with pytest.raises(AreaError, match=r"cannot be read as a vector file|has no layers"):
            from_file(path, root)
    with pytest.raises(AreaError, match="no such file"):
        from_file("c.gpkg", tmp_path)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_file_without_a_crs_is_read_as_degrees_with_a_note(tmp_path: Path) -> None:
    import pyogrio
    import pyproj

    wkb = shapely.to_wkb([shapely.box(0, 0, 1, 1)])
    for name, crs in (("none", None), ("utm", pyproj.CRS("EPSG:32633").to_wkt())):
        pyogrio.raw.write(
            tmp_path / f"{name}.shp",
            wkb,
            field_data=[],
            fields=[],
            geometry_type="Polygon",
            crs=crs,
            driver="ESRI Shapefile",
        )
    assert from_file("none.shp", tmp_path).notes == ("none.shp has no CRS: read as degrees",)
    assert from_file("none.shp", tmp_path, crs="EPSG:32633").crs == "EPSG:32633"
    assert from_file("utm.shp", tmp_path).crs == "EPSG:32633"


def test_a_pointer_to_other_files_dressed_as_a_geopackage_is_refused(aoi: Path, tmp_path: Path) -> None:
    source = f"<SrcDataSource>{aoi / 'inn_egglfing.geojson'}</SrcDataSource>"
    xml = f'<OGRVRTDataSource><OGRVRTLayer name="inn_egglfing">{source}</OGRVRTLayer></OGRVRTDataSource>'
    for name in ("a.gpkg", "a.vrt"):
        (tmp_path / name).write_text(xml)
        with pytest.raises(AreaError, match="only points at other files"):
            from_file(name, tmp_path)


@given(st.binary(max_size=40))
def test_random_bytes_in_a_file_are_an_area_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("random")
    (folder / "a.json").write_bytes(content)
    with pytest.raises(AreaError):
        from_file("a.json", folder)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_table_without_polygons_is_refused(tmp_path: Path) -> None:
    import pyogrio

    wkb = shapely.to_wkb([shapely.box(0, 0, 1, 1)])
    pyogrio.raw.write(
        tmp_path / "a.shp", wkb, field_data=[], fields=[], geometry_type="Polygon", driver="ESRI Shapefile"
    )
    (tmp_path / "a.shp").unlink()
    with pytest.raises(AreaError, match=r"a\.dbf is a table without polygons; name a file or a layer that has some"):
        from_file("a.dbf", tmp_path)


def test_a_file_that_names_an_unknown_crs_is_refused_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyogrio

    (tmp_path / "a.geojson").write_text(shapely.to_geojson(shapely.box(0, 0, 1, 1)))
    read = pyogrio.read_info

    def read_with_unknown_crs(*arguments: Any, **options: Any) -> Any:
        return read(*arguments, **options) | {"crs": "EPSG:99999"}

    monkeypatch.setattr(pyogrio, "read_info", read_with_unknown_crs)
    with pytest.raises(AreaError, match=r"a\.geojson names a coordinate reference system that is not known"):
        from_file("a.geojson", tmp_path)
    assert from_file("a.geojson", tmp_path, crs="EPSG:32633").crs == "EPSG:32633"


def test_a_damaged_archive_and_wrong_metadata_of_geoparquet_are_area_errors(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.geojson", shapely.to_geojson(shapely.box(0, 0, 1, 1)))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 255  # the version that is needed to unpack it
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(AreaError, match=r"a\.zip cannot be read as a vector file; check it with ogrinfo"):
        from_file("a.zip", tmp_path)
    for geo in (
        "[]",
        "{",
        '{"primary_column": "x", "columns": {}}',
        '{"primary_column": "geometry", "columns": {"geometry": 3}}',
    ):
        table = pa.table({"geometry": [shapely.to_wkb(shapely.box(0, 0, 1, 1))]}).replace_schema_metadata({"geo": geo})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(AreaError, match=r"a\.parquet cannot be read as a vector file"):
            from_file("a.parquet", tmp_path)


def test_a_random_star_is_refused_in_seconds_with_its_vertices_and_a_remedy() -> None:
    points = np.random.default_rng(1).random((3_000, 2)).tolist()
    began = time.perf_counter()
    with pytest.raises(AreaError) as error:
        from_geojson({"type": "Polygon", "coordinates": [[*points, points[0]]]})
    assert time.perf_counter() - began < 10
    assert str(error.value) == (
        "GeoJSON: the edges of this area (3,000 vertices) cross each other more than 2,000 times, too often to be repaired\n"
        "  Check the order of its vertices, or give their outline, such as shapely's concave_hull."
    )


def test_a_long_coast_with_some_crossings_is_repaired() -> None:
    coast = coast_ring(20_000)
    swapped = np.arange(5, 20_000, 50)
    coast[swapped], coast[swapped + 1] = coast[swapped + 1].copy(), coast[swapped].copy()
    shape = from_geojson(ring(*coast.tolist()))
    assert geometry(shape).area == pytest.approx(shapely.Polygon(coast_ring(20_000)).area, rel=1e-3)
    assert len(shape.notes) == 1


def coast_ring(vertices: int) -> Any:
    """A ring (vertices, 2) without crossings."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 1 + 0.1 * np.sin(9 * angle)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def test_an_archive_of_two_files_names_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("north.geojson", "{}")
        archive.writestr("south.geojson", "{}")
    with pytest.raises(
        AreaError, match=r"a\.zip is an archive of several files; unzip it and name one: north\.geojson, south\.geojson"
    ):
        from_file("a.zip", tmp_path)
