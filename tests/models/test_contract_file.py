"""Contract files: what is read, and that every mistake is named at once."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pystac.extensions.mlm import ModelInput, ModelOutput, ValueScaling, ValueScalingType

from swath.errors import ModelError
from swath.models.contract import ModelClass
from swath.models.contract_file import (
    EXAMPLE,
    SCALINGS,
    contract_path,
    item_properties,
    parse_contract,
    read_contract,
)
from tests.models.cloud_contracts import cloud_contract, write_cloud_contract
from tests.models.tiny_models import tiny_contract

WATER = Path(__file__).parents[2] / "models" / "water.json"


def example() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(EXAMPLE)
    return document


def refused(document: Any) -> str:
    with pytest.raises(ModelError) as caught:
        parse_contract(document, source="model.json")
    return caught.value.message


def test_the_example_in_the_message_is_a_contract() -> None:
    contract = parse_contract(example())
    assert contract.bands == ("blue", "green", "red", "nir")
    assert contract.classes == (ModelClass(0, "land", (0xE6, 0xDF, 0xC8)), ModelClass(1, "water", (0x2B, 0x7B, 0xBA)))
    assert (contract.output, contract.units, contract.dtype, contract.nodata) == ("classes", "dn", "uint8", 255)
    assert contract.channels == 2


def test_a_cloud_contract_has_reflectance_and_a_threshold(tmp_path: Path) -> None:
    contract = read_contract(write_cloud_contract(tmp_path / "c.json", "clouds_rgbiswir"))
    assert (contract.units, contract.threshold, contract.resolution_m, len(contract.bands)) == (
        "reflectance",
        0.5,
        30,
        6,
    )


def test_a_whole_stac_item_is_read_through_its_properties() -> None:
    assert parse_contract({"type": "Feature", "properties": example()}) == parse_contract(example())


def test_a_missing_contract_shows_one_to_write(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="contract is missing") as caught:
        read_contract(tmp_path / "water.json")
    assert EXAMPLE in caught.value.remedy


def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "water.json"
    file.write_text('{\n "mlm:name": }')
    with pytest.raises(ModelError, match=r"water.json: not JSON: .*line 2"):
        read_contract(file)
    file.write_text('{"swath:nodata": NaN}')
    with pytest.raises(ModelError, match='write "nan"'):
        read_contract(file)


def test_the_shared_models_own_json_is_refused_field_by_field(shared: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_contract(shared / "data/models/clouds_rgbi.json")
    for field in ("mlm:name", "mlm:input", "mlm:output", "swath:units"):
        assert f"clouds_rgbi.json: {field}: is missing" in caught.value.message


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
        ("mlm:input/0/input/data_type", "uint8", "must be float32"),
        ("mlm:input/0/input/dim_order", ["batch", "height", "width", "channel"], "dim_order: must be batch, channel"),
        ("mlm:input/0/input/shape", [-1, 4, 0, -1], "shape: must be four numbers"),
        ("mlm:input/0/resize_type", "crop", "resize_type: must be null"),
        ("mlm:input/0/pre_processing_function", {"format": "python", "expression": "x"}, "must be null"),
        ("mlm:output/0/post_processing_function", {"format": "python", "expression": "x"}, "must be null"),
        ("mlm:output/0/result/shape", [-1, 1, -1, -1], "needs swath:threshold"),
        ("mlm:output/0/result/shape", [-1, 7, -1, -1], "says 7 channels, but the classes need 2"),
        ("mlm:output/0/classification:classes", [{"value": 255, "name": "x"}], "from 0 to 254, not 255"),
        ("swath:units", "radiance", "must be one of reflectance, dn"),
        ("swath:output", "class", "did you mean classes?"),
        ("swath:dtype", "uint16", "must be uint8 for a map of classes"),
        ("swath:nodata", 1, "is the value of class water"),
        ("swath:nodata", "nan", "a number that uint8 can hold"),
        ("swath:nodata", True, "a number that uint8 can hold"),
        ("swath:threshold", 0.5, "says 2 channels, but the classes need 1"),
        ("swath:resolution_m", -30, "must be above 0"),
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


@pytest.mark.parametrize("kind", SCALINGS)
def test_the_scalings_are_those_of_the_extension(kind: str) -> None:
    assert set(SCALINGS[kind]) == set(ValueScaling.get_required_props(ValueScalingType(kind)))


def test_a_map_of_values_has_nan_for_nodata_when_it_is_of_floats() -> None:
    contract = parse_contract(tiny_contract("height", ["red"], 2, output="values"))
    assert contract.dtype == "float32"
    assert math.isnan(contract.nodata)
    assert contract.channels == 2
    assert "swath:nodata: is missing" in refused(tiny_contract("height", ["red"], 2, output="values", dtype="int16"))


@pytest.mark.parametrize(
    ("weights", "contract"),
    [
        ("a/water.pt2", "a/water.json"),
        ("a/water.torchscript.pt", "a/water.json"),
        ("a/v1.2.onnx", "a/v1.2.json"),
        ("a/water.torchscript", "a/water.json"),
    ],
)
def test_the_contract_stands_beside_the_weights(weights: str, contract: str) -> None:
    assert contract_path(weights) == Path(contract)


@pytest.mark.parametrize("document", [json.loads(WATER.read_text()), cloud_contract("clouds_rgbi")])
def test_the_map_item_gets_what_pystac_reads_as_mlm(document: dict[str, Any]) -> None:
    properties = item_properties(parse_contract(document))
    assert all(key.startswith("mlm:") for key in properties)
    given, result = ModelInput(properties["mlm:input"][0]), ModelOutput(properties["mlm:output"][0])
    assert list(given.bands) == document["mlm:input"][0]["bands"]
    assert given.input.dim_order == ["batch", "channel", "height", "width"]
    for scaling in document["mlm:input"][0]["value_scaling"] or []:
        ValueScaling.validate_property_dict(ValueScalingType(scaling["type"]), scaling)
    assert [c["value"] for c in result.to_dict()["classification:classes"]] == [0, 1]
