"""Scaling of pixels in contracts: what is translated, what is refused, what is ignored."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from swath.errors import ModelError
from swath.models.contract_file import EXAMPLE, parse_contract

STATISTICS = [{"mean": n, "stddev": n + 1, "minimum": 0, "maximum": 10 + n} for n in range(4)]


def with_input(**fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(EXAMPLE)
    del document["mlm:input"][0]["value_scaling"]
    document["mlm:input"][0] |= copy.deepcopy(fields)
    return document


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(ModelError) as caught:
        parse_contract(document, source="model.json")
    return caught.value.message


def test_old_normalisation_is_translated() -> None:
    by_band = parse_contract(with_input(norm_type="z-score", norm_by_channel=True, statistics=STATISTICS))
    assert by_band.scaling == tuple({"type": "z-score", "mean": n, "stddev": n + 1} for n in range(4))
    together = parse_contract(with_input(norm_type="min-max", norm_by_channel=False, statistics=STATISTICS[:1]))
    assert together.scaling == ({"type": "min-max", "minimum": 0, "maximum": 10},)
    assert parse_contract(with_input(norm_type=None, statistics=STATISTICS)).scaling == ()
    assert parse_contract(with_input(norm_type="min_max", statistics=STATISTICS)).scaling[3]["maximum"] == 13


def test_statistics_beside_value_scaling_are_for_readers() -> None:
    step = {"type": "scale", "value": 255}
    assert parse_contract(with_input(value_scaling=[step], statistics=STATISTICS)).scaling == (step,)
    assert parse_contract(with_input(value_scaling=None, statistics=STATISTICS)).scaling == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm_type": "l2"}, 'mlm:input.0.norm_type: "l2" cannot be applied; swath knows min-max, z-score and null'),
        ({"norm_type": "z-score"}, "mlm:input.0.statistics: norm_type z-score goes with statistics of one object"),
        (
            {"norm_type": "z-score", "norm_by_channel": True, "statistics": STATISTICS[:1]},
            "statistics: norm_type z-score goes with norm_by_channel, so statistics must be a list of 4 objects",
        ),
        ({"norm_type": "z-score", "statistics": [{"mean": 1, "std": 2}]}, "statistics.0.stddev: is missing"),
        ({"norm_type": "z-score", "statistics": [{"mean": 1, "stddev": 0}]}, "statistics.0.stddev: must be above 0"),
        ({"norm_type": "z-score", "value_scaling": [{"type": None}]}, "norm_type: stands beside value_scaling"),
        ({"norm_by_channel": True}, "norm_by_channel: needs norm_type"),
        ({"norm_type": "clip", "norm_clip": [3000]}, "norm_clip: cannot be applied"),
        ({"norm_with_clip_values": [0, 1]}, "norm_with_clip_values: cannot be applied"),
        ({"rescale_type": "crop"}, "rescale_type: must be null"),
        ({"statistics": STATISTICS}, "statistics: is there, but nothing says what is done with it"),
        ({"scale_factor": 0.0001}, "mlm:input.0.scale_factor: is not applied"),
        (
            {"value_scaling": [{"type": "min-max", "minimum": 0, "maximum": 1, "clip": True}]},
            "mlm:input.0.value_scaling.0.clip: is not applied",
        ),
        (
            {"value_scaling": [{"type": "clip-min", "minimum": 0, "maximum": 1}]},
            "value_scaling.0.maximum: is not applied",
        ),
        ({"bands": ["red", "green", "blue", {"name": "nir", "scale": 2}]}, "mlm:input.0.bands.3.scale: is not applied"),
    ],
)
def test_what_is_not_applied_is_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refused(with_input(**fields))


def test_fields_in_the_wrong_place_are_refused() -> None:
    document: dict[str, Any] = json.loads(EXAMPLE)
    document["mlm:input"][0]["input"]["pre_processing_function"] = {"format": "python", "expression": "x / 2"}
    document["mlm:output"][0]["result"]["post_processing_function"] = {"format": "python", "expression": "x"}
    document["mlm:output"][0]["classification:classes"][0]["nodata"] = True
    document |= {"norm_type": "z-score", "mlm:value_scaling": [{"type": "scale", "value": 2}]}
    message = refused(document)
    assert "model.json: mlm:input.0.input.pre_processing_function: is not applied" in message
    assert "model.json: mlm:output.0.result.post_processing_function: is not applied" in message
    assert "model.json: mlm:output.0.classification:classes.0.nodata: is not applied" in message
    assert "model.json: norm_type: stands in the wrong place; it belongs into mlm:input.0" in message
    assert "model.json: mlm:value_scaling: stands in the wrong place" in message


@pytest.mark.parametrize(
    "name", ["normalization", "mean", "image_std", "mlm:preprocessing", "scale_factor", "transforms"]
)
def test_scaling_of_other_producers_among_the_fields_of_the_model_is_refused(name: str) -> None:
    document = json.loads(EXAMPLE) | {name: [0.5]}
    assert f"model.json: {name}: is not applied: scaling of pixels is value_scaling" in refused(document)
    parse_contract(document | {name: None, "mean_iou": 0.8, "standard": "x", "normal": "x"})


def test_fields_that_change_no_pixel_are_ignored() -> None:
    document = with_input(
        description="x", norm_by_channel=False, norm_clip=None, **{"raster:scale": 2, "colour": "green"}
    )
    document |= {"mlm:framework": "x", "notes": ["scaled by hand"], "processing:level": "L2A", "statistics": {}}
    document["mlm:output"][0]["classification:classes"][0] |= {"nodata": False, "description": "x", "percentage": 3}
    assert parse_contract(document).scaling == ()


def test_more_classes_than_a_byte_holds_are_one_mistake() -> None:
    document: dict[str, Any] = json.loads(EXAMPLE)
    document["mlm:output"][0]["classification:classes"] = [{"value": n, "name": str(n)} for n in range(300)]
    assert [line for line in refused(document).splitlines() if "names 300 classes" in line] == [
        "model.json: mlm:output.0.classification:classes: names 300 classes; a map is of bytes and holds 255 (values 0 to 254)"
    ]


@pytest.mark.parametrize("place", ["", "bands"])
def test_nodata_of_the_input_is_refused_also_when_it_is_0(place: str) -> None:
    """0 was taken for an empty field, and pixels of 0 were mapped."""
    document = with_input()
    given = document["mlm:input"][0]
    first = {"name": given["bands"][0]} if isinstance(given["bands"][0], str) else dict(given["bands"][0])
    for value in (0, 0.0, -9999):
        if place:
            given["bands"][0] = first | {"nodata": value}
        else:
            given["nodata"] = value
        assert "nodata: is not applied: nodata is what the imagery declares, or imagery.nodata in the spec" in refused(
            document
        )
    given["bands"][0] = first | {"offset": 0, "nodata": None}
    given.pop("nodata", None)
    parse_contract(document)


@pytest.mark.parametrize("key", ["name", "band", "common_name"])
def test_entries_that_name_bands_in_another_order_are_refused(key: str) -> None:
    """Entries go by their position."""
    names = [band if isinstance(band, str) else band["name"] for band in with_input()["mlm:input"][0]["bands"]]
    steps = [{"type": "z-score", "mean": n, "stddev": n + 1} for n in range(4)]
    swapped = [names[1], names[0], *names[2:]]

    def named(entries: list[dict[str, Any]], order: list[str]) -> list[dict[str, Any]]:
        return [entry | {key: name} for entry, name in zip(entries, order, strict=True)]

    for fields in (
        {"value_scaling": named(steps, swapped)},
        {"norm_type": "z-score", "norm_by_channel": True, "statistics": named(STATISTICS, swapped)},
    ):
        text = refused(with_input(**fields))
        assert f"is {names[1]}, but the band at this place of mlm:input.0.bands is {names[0]}" in text
    assert parse_contract(with_input(value_scaling=named(steps, names))).scaling[0]["mean"] == 0
    other = ["first", "second", "third", "fourth"]  # no bands
    assert parse_contract(with_input(value_scaling=named(steps, other))).scaling[0]["mean"] == 0
