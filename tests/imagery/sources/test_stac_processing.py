"""Several processings of one scene: the newest is used, and the notes name what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.errors import ImageryError
from swath.imagery.sources.stac_items import find_items
from swath.spec.fields.imagery import StacImagery
from tests.imagery.sources.items import make_item, write_items

S2 = {"platform": "sentinel-2a", "grid:code": "MGRS-32TNT"}
OLD, NEW = "S2A_32TNT_20240601_0_L2A", "S2A_32TNT_20240601_1_L2A"


def found(folder: Path, *items: dict[str, Any], **spec: Any) -> tuple[list[str], list[str]]:
    notes: list[str] = []
    catalog = write_items(folder, *items)
    return [item.id for item in find_items(StacImagery(catalog=catalog, **spec), None, notes=notes)], notes


def item(identity: str, **properties: Any) -> dict[str, Any]:
    return make_item(identity, {"red": "./a.tif"}, **properties)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((OLD, {"s2:processing_baseline": "02.11"}), (NEW, {"s2:processing_baseline": "05.00"})),
        ((OLD, {"s2:processing_baseline": "05.00", "created": "2030"}), (NEW, {"s2:processing_baseline": "05.10"})),
        (("b", {"created": "2024-06-02T00:00:00Z"}), ("a", {"created": "2024-07-01T00:00:00Z"})),
        (("b", {"created": "2025-01-01T00:00:00Z", "processing:datetime": "2024-06-02T00:00:00Z"}),
         ("a", {"created": "2024-01-01T00:00:00Z", "processing:datetime": "2024-06-03T00:00:00+02:00"})),
        ((OLD, {}), (NEW, {})),
        ((OLD, {"datetime": "2024-06-01T10:00:00Z"}), (NEW, {"datetime": "2024-06-01T10:00:04Z"})),
        (("S2A_MSIL2A_20240601T110211_N0500_R094_T32TNT_20240601T140000", {}),
         ("S2A_MSIL2A_20240601T110211_N0510_R094_T32TNT_20240701T140000", {})),
        (("LC08_L2SP_224077_20200518_20200530_02_RT", {"platform": "landsat-8", "grid:code": ""}),
         ("LC08_L2SP_224077_20200518_20200820_02_T1", {"platform": "landsat-8", "grid:code": ""})),
        (("b", {"grid:code": None, "created": "2024-06-02T00:00:00Z"}), ("a", {"grid:code": None, "created": "2024-06-03T00:00:00Z"})),
    ],
)  # fmt: skip
def test_the_newest_processing_is_used(
    tmp_path: Path, old: tuple[str, dict[str, Any]], new: tuple[str, dict[str, Any]]
) -> None:
    first, second = item(old[0], **S2 | old[1]), item(new[0], **S2 | new[1])
    for order in ((first, second), (second, first)):
        ids, (note,) = found(tmp_path, *order)
        assert ids == [new[0]]
        assert note.startswith(f"2 items show one scene: {new[0]} is the newest processing")
        assert f"{old[0]} (" in note
        assert note.endswith("left out")


def test_other_scenes_are_kept(tmp_path: Path) -> None:
    one = item(OLD, **S2)
    for other in (
        item("S2A_32TNS_20240601_1_L2A", **S2 | {"grid:code": "MGRS-32TNS"}),
        item("S2A_32TNT_20240601_1_L1C", **S2),
        item(NEW, **S2 | {"datetime": "2024-06-01T11:40:00Z"}),
        item(NEW, **S2 | {"platform": "sentinel-2b"}),
        item(NEW, **S2) | {"collection": "another"},
    ):
        ids, notes = found(tmp_path, one, other)
        assert (sorted(ids), notes) == (sorted([OLD, other["id"]]), [])
    same_place = [
        item(name, platform="x") for name in "ab"
    ]  # nothing says when they were processed: two strips of one pass
    assert found(tmp_path, *same_place) == (["a", "b"], [])


def test_an_older_processing_does_not_stand_in_for_a_cloudy_new_one(tmp_path: Path) -> None:
    clear, cloudy = item(OLD, **S2 | {"eo:cloud_cover": 10}), item(NEW, **S2 | {"eo:cloud_cover": 60})
    with pytest.raises(ImageryError, match="no items; dropped: 1 by cloud_cover"):
        found(tmp_path, clear, cloudy, cloud_cover=30)
    assert found(tmp_path, clear, cloudy, cloud_cover=30, ids=(OLD,)) == ([OLD], [])
    assert found(tmp_path, clear, cloudy, exclude=(NEW,)) == ([OLD], [])
