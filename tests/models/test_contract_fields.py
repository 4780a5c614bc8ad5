"""The fields of a contract: every mistake is named at once, with its field."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from swath.errors import ModelError
from swath.models.contract_file import EXAMPLE, parse_contract
from tests.models.tiny_models import tiny_contract


def example() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(EXAMPLE)
    return document


def refused(document: Any) -> str:
    with pytest.raises(ModelError) as caught:
        parse_contract(document, source="model.json")
    return caught.value.message


def test_every_mistake_is_named_at_once() -> None:
    document = example()
    document["swath:unit"] = document.pop("swath:units")
    document["mlm:input"][0]["value_scaling"] = [{"type": "zscore", "mean": 1}]
    document["mlm:output"][0]["classification:classes"][1] |= {"value": 0, "color_hint": "blue"}
    document["swath:nodata"] = 300
    message = refused(document)
    assert "model.json: swath:unit: no such field (did you mean swath:units?)" in message
    assert "model.json: swath:units: is missing" in message
    assert "model.json: mlm:input.0.value_scaling.0.type" in message
    assert "did you mean z-score?" in message
    assert "classes.1.color_hint" in message
    assert "each class needs a value of its own" in message
    assert "swath:nodata" in message
    assert len(message.splitlines()) == 6


def change(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(example())
    *parents, last = path.split("/")
    holder: Any = document
    for key in parents:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    holder[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("mlm:name", 3, "mlm:name: must be a text"),
        ("mlm:input", [], "mlm:input: must be a list with one object, not 0 entries"),
        ("mlm:input/0/bands", [], "mlm:input.0.bands: must be a list of band names"),
        ("mlm:input/0/bands", ["red", "red", "nir", "x"], "bands.1: red is there twice"),
        ("mlm:input/0/bands", ["red", "green"], "says 4 channels, but bands names 2"),
        ("mlm:input/0/bands", [{"name": "ndvi", "format": "x", "expression": "a"}], "does not compute bands"),
        ("mlm:input/0/input/data_type", "complex64", "must be one of float32, "),
        ("mlm:input/0/input/dim_order", ["batch", "width", "height", "channel"], "dim_order: must be batch, channel"),
        ("mlm:input/0/input/dim_order", ["batch", "height", "width"], "dim_order: must be batch, channel"),
        ("mlm:input/0/input/dim_order", ["batch", "time", "height", "width"], "give dates as bands"),
        ("mlm:output/0/result/dim_order", ["batch", "height", "width"], "shape: must be three numbers"),
        ("mlm:input/0/input/shape", [-1, 4, 0, -1], "shape: must be four numbers"),
        ("mlm:input/0/resize_type", "crop", "resize_type: must be null"),
        ("mlm:input/0/pre_processing_function", {"format": "python", "expression": "x"}, "must be null"),
        ("mlm:output/0/post_processing_function", {"format": "python", "expression": "x"}, "must be null"),
        ("mlm:output/0/result/shape", [-1, 1, -1, -1], "needs swath:threshold"),
        ("mlm:output/0/result/shape", [-1, 7, -1, -1], "says 7 channels, but the classes need 2"),
        ("mlm:output/0/classification:classes", [{"value": 255, "name": "x"}], "from 0 to 254, not 255"),
        (
            "mlm:output/0/classification:classes",
            [{"value": 1, "name": "x"}, {"value": 0, "name": "y"}],
            "lists the values 1, 0, and the entries are taken for the channels in their order",
        ),
        ("swath:output", "values", "goes with swath:output classes; a map of values has no classes"),
        ("swath:units", "radiance", "must be one of reflectance, dn"),
        ("swath:output", "class", "did you mean classes?"),
        ("swath:dtype", "uint16", "must be uint8 for a map of classes"),
        ("swath:nodata", 1, "is the value of class water"),
        ("swath:nodata", "nan", "a number that uint8 can hold"),
        ("swath:nodata", True, "a number that uint8 can hold"),
        ("swath:threshold", 0.5, "says 2 channels, but the classes need 1"),
        ("swath:resolution_m", -30, "must be above 0"),
        ("swath:values", ["height", "height"], "swath:values: must be a list of names that differ"),
        ("swath:values", ["height"], "goes with swath:output values"),
    ],
)
def test_a_mistake_is_named_with_its_field(path: str, value: Any, message: str) -> None:
    assert message in refused(change(path, value))


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"type": "min-max", "minimum": 0}, "maximum: is missing: min-max needs it"),
        ({"type": "min-max", "minimum": 5, "maximum": 5}, "maximum: must be above minimum"),
        ({"type": "z-score", "mean": 0, "stddev": 0}, "stddev: must be above 0"),
        ({"type": "z-score", "mean": "0", "stddev": 1}, "mean: must be a number"),
        ({"type": "scale", "value": 0}, "must not be 0"),
        ({"type": "processing", "format": "gdal-calc", "expression": "A*2"}, "cannot be applied"),
    ],
)
def test_a_scaling_that_cannot_be_applied_is_refused(scaling: dict[str, Any], message: str) -> None:
    assert message in refused(change("mlm:input/0/value_scaling", [scaling]))


def test_scaling_is_for_all_bands_or_for_each() -> None:
    step = {"type": "scale", "value": 2}
    assert len(parse_contract(change("mlm:input/0/value_scaling", [step] * 4)).scaling) == 4
    assert len(parse_contract(change("mlm:input/0/value_scaling", [step, step, {"type": None}, step])).scaling) == 4
    assert "4: one per band" in refused(change("mlm:input/0/value_scaling", [step] * 3))


def test_a_map_of_values_has_nan_for_nodata_when_it_is_of_floats() -> None:
    contract = parse_contract(tiny_contract("height", ["red"], 2, output="values"))
    assert contract.dtype == "float32"
    assert math.isnan(contract.nodata)
    assert contract.channels == 2
    named = parse_contract(tiny_contract("height", ["red"], 2, output="values", values=["height", "cover"]))
    assert named.values == ("height", "cover")
    wrong = tiny_contract("height", ["red"], 2, output="values", values=["height"])
    assert "names 1 bands, but mlm:output.0.result.shape says 2" in refused(wrong)
    assert "swath:nodata: is missing" in refused(tiny_contract("height", ["red"], 2, output="values", dtype="int16"))


@pytest.mark.parametrize("kind", [[], [None], {}, 3, True])
def test_a_type_of_scaling_that_is_no_text_is_refused(kind: Any) -> None:
    document = example()
    document["mlm:input"][0]["value_scaling"] = [{"type": kind}]
    assert "model.json: mlm:input.0.value_scaling.0.type: " in refused(document)
