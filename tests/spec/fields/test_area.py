from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError
from swath.spec.fields.area import Area
from tests.spec.samples import MAP, load_map


def test_notes_of_areas_reach_the_run(project_folder: Path) -> None:
    loaded = load_map(project_folder, MAP.replace("areas/a.geojson", "'POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))'"))
    assert loaded.notes == ("area: repaired: Self-intersection[0.5 0.5]",)


@pytest.mark.parametrize(
    "area",
    [
        "areas/a.geojson",
        "{path: areas/a.geojson}",
        "[0, 0, 1, 1]",
        "{bbox: [0, 0, 1, 1]}",
        "{bbox: [0, 0, 1, 1], crs: EPSG:4326}",
        "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))",
        "{wkt: 'POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))'}",
        "{type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}",
        "{type: Feature, geometry: {type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}",
        "{type: FeatureCollection, features: [{type: Feature, geometry: {type: Polygon, coordinates: "
        "[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}}]}",
    ],
)
def test_an_area_can_be_written_in_many_ways(project_folder: Path, area: str) -> None:
    spec = load_map(project_folder, MAP.replace("areas/a.geojson", area)).spec
    assert spec.area.wkt == "POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0))"
    assert spec.area.crs == "EPSG:4326"


@pytest.mark.parametrize(
    ("area", "message"),
    [
        ("[1, 2, 3]", "area: item 4 of the list is missing"),
        ("[1, 2, 3, 4, 5, 6]", "area: expected at most 4 items"),
        ("[0, 0, 1, x]", "area.3: expected a number, got text"),
        ("{bbox: [0, 0, 1, 1], srs: a}", "area.srs: unknown key (did you mean 'crs'?)"),
        ("{bbox: [0, 1, 1, 0]}", "area.bbox: south (1.0) is not below north (0.0)"),
        ("{bbox: [0, 0, 1, 1], crs: EPSG:9}", "area.crs: there is no coordinate reference system 'EPSG:9'"),
        ("{path: areas/a.geojson, lyer: a}", "area.lyer: unknown key (did you mean 'layer'?)"),
        ("{path: areas/a.geojson, layer: b}", "area.layer: areas/a.geojson has no layer 'b'"),
        ("{path: 3}", "area.path: expected text, got a whole number; put it in quotes"),
        ("7", "area: expected an area: a path, [west, south, east, north], WKT, GeoJSON or a mapping"),
        ("{}", "area.wkt: missing"),
        ("POINT (1 2)", "area: WKT: expected polygons, found a Point"),
        ("[0, 0, 500000, 5000000]", "area: bbox: 0, 0, 500000, 5e+06 are not degrees"),
    ],
)
def test_a_wrong_area_is_blamed_where_it_is_wrong(project_folder: Path, area: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_map(project_folder, MAP.replace("areas/a.geojson", area))
    (found,) = caught.value.mistakes
    assert f"{found.field}: {found.message}".startswith(message)
    assert found.line == 2


def test_an_area_that_was_read_can_be_validated_again(project_folder: Path) -> None:
    area = load_map(project_folder, MAP.replace("areas/a.geojson", "[179, 0, -179, 1]")).spec.area
    assert Area.model_validate(area.model_dump()) == area
    assert Area.model_validate_json(area.model_dump_json()) == area
