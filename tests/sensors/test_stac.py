"""Sensor `stac` on a loopback API: each item or day once, whenever and in whichever order the catalogue lists them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from swath.errors import SwathError
from swath.sensors.stac import look
from swath.spec.fields.area import Area
from swath.triggers.look import Look
from swath.triggers.trigger import StacSensor
from tests.stac_api import StacApi, stac_api

NOW = datetime.fromisoformat("2026-06-10T12:00Z").timestamp()
WHOLE, WEST, EAST = (8.0, 46.0, 11.0, 48.0), (8.0, 46.0, 9.5, 48.0), (9.5, 46.0, 11.0, 48.0)
AREA = "POLYGON ((9 46.5, 10 46.5, 10 47.5, 9 47.5, 9 46.5))"


@pytest.fixture
def api() -> Iterator[StacApi]:
    with stac_api() as found:
        yield found


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return tmp_path / "spec.yaml"


class Sensor:
    """A sensor that is asked again and again, with its cursor."""

    def __init__(self, api: StacApi, spec: Path, **fields: Any) -> None:
        settings = {"api": api.url, "collections": ["s2"], "area": Area(wkt=AREA), "spec": str(spec), **fields}
        self.sensor, self.cursor, self.folder = StacSensor(**settings), None, spec.parent

    def look(self, now: float = NOW) -> Look:
        found = look(self.sensor, self.cursor, now, self.folder)
        self.cursor = found.cursor
        return found

    def keys(self, now: float = NOW) -> list[str]:
        return [each.key for each in self.look(now).found]


def test_each_item_over_the_area_is_found_with_its_values(api: StacApi, spec: Path) -> None:
    api.add("a", "2026-06-09T10:00:00.5Z", WHOLE, **{"eo:cloud_cover": 12.0})
    api.add("elsewhere", "2026-06-09T10:00:00Z", (30, 0, 31, 1))
    api.add("old", "2026-05-01T10:00:00Z", WHOLE)
    (found,) = Sensor(api, spec).look().found
    assert found.key == "s2/a"
    assert found.values == {
        "day": "2026-06-09", "start": "2026-06-09T10:00:00Z", "end": "2026-06-09T10:00:01Z",
        "datetime": "2026-06-09T10:00:00Z/2026-06-09T10:00:01Z", "ids": ["a"], "id": "a", "collection": "s2", "count": 1,
        "coverage": 1.0, "cloud_cover": 12.0,
    }  # fmt: skip


def test_items_that_come_late_and_out_of_order_are_found(api: StacApi, spec: Path) -> None:
    sensor = Sensor(api, spec)
    api.add("b", "2026-06-09T10:00:00Z", WHOLE)
    assert sensor.keys() == ["s2/b"]
    api.add("a", "2026-06-02T10:00:00Z", WHOLE)
    assert sensor.keys() == ["s2/a", "s2/b"]


def test_a_day_is_found_once_its_footprints_cover_the_area(api: StacApi, spec: Path) -> None:
    sensor = Sensor(api, spec, per="day", coverage=0.9)
    api.add("west", "2026-06-09T10:00:00Z", WEST)
    partly = sensor.look()
    assert partly.found == ()
    assert "2026-06-09: 1 items cover 0.50 of the area, 0.9 are needed" in partly.text
    api.add("east", "2026-06-09T10:00:20Z", EAST)
    (found,) = sensor.look().found
    assert (found.key, found.values["ids"], found.values["count"]) == ("2026-06-09", ["east", "west"], 2)
    assert found.values["coverage"] == pytest.approx(1)
    assert found.values["datetime"] == "2026-06-09T10:00:00Z/2026-06-09T10:00:20Z"


def test_overlapping_footprints_count_once(api: StacApi, spec: Path) -> None:
    for number in range(3):
        api.add(f"west{number}", "2026-06-09T10:00:00Z", WEST)
    assert Sensor(api, spec, per="day", coverage=0.6).keys() == []


def test_a_day_waits_until_no_more_items_come(api: StacApi, spec: Path) -> None:
    sensor = Sensor(api, spec, per="day", quiet=2700)
    assert sensor.keys() == []
    api.add("west", "2026-06-09T10:00:00Z", WEST)
    assert sensor.keys() == []
    assert sensor.keys(NOW + 2600) == []
    api.add("east", "2026-06-09T10:00:00Z", EAST)
    assert sensor.keys(NOW + 2800) == []
    assert sensor.keys(NOW + 2800 + 2700) == ["2026-06-09"]


def test_at_the_first_look_a_day_counts_from_its_acquisition(api: StacApi, spec: Path) -> None:
    api.add("old", "2026-06-09T10:00:00Z", WHOLE)
    api.add("just now", "2026-06-10T11:50:00Z", WHOLE)
    assert Sensor(api, spec, per="day", quiet=2700).keys() == ["2026-06-09"]


def test_cloudy_items_do_not_count(api: StacApi, spec: Path) -> None:
    sensor = Sensor(api, spec, cloud_cover=40)
    api.add("clear", "2026-06-09T10:00:00Z", WHOLE, **{"eo:cloud_cover": 40})
    api.add("cloudy", "2026-06-08T10:00:00Z", WHOLE, **{"eo:cloud_cover": 41})
    api.add("unknown", "2026-06-07T10:00:00Z", WHOLE)
    found = sensor.look()
    assert [each.key for each in found.found] == ["s2/unknown", "s2/clear"]
    assert "1 too cloudy" in found.text


def test_items_on_many_pages_are_found_each_once(api: StacApi, spec: Path) -> None:
    api.page = 7
    for number in range(40):
        api.add(f"i{number:02}", "2026-06-09T10:00:00Z", WHOLE)
    assert sorted(Sensor(api, spec).keys()) == [f"s2/i{number:02}" for number in range(40)]


def test_an_empty_catalogue_is_no_error(api: StacApi, spec: Path) -> None:
    found = Sensor(api, spec).look()
    assert found.found == ()
    assert "0 items" in found.text


def test_a_broken_item_hides_no_other(api: StacApi, spec: Path) -> None:
    api.add("good", "2026-06-09T10:00:00Z", WHOLE)
    del api.add("broken", "2026-06-09T10:00:00Z", WHOLE)["properties"]
    found = Sensor(api, spec).look()
    assert [each.key for each in found.found] == ["s2/good"]
    assert "1 broken" in found.text


@pytest.mark.parametrize("status", [403, 404])
def test_an_api_that_refuses_is_an_error_and_not_an_empty_catalogue(api: StacApi, spec: Path, status: int) -> None:
    api.status = status
    with pytest.raises(SwathError):
        Sensor(api, spec).look()
