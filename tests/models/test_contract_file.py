"""Contract files: what is read, and that every mistake is named at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pystac.extensions.mlm import ModelInput, ModelOutput, ValueScaling, ValueScalingType

from swath.errors import ModelError
from swath.models.contract import ModelClass
from swath.models.contract_file import EXAMPLE, contract_path, item_properties, parse_contract, read_contract
from tests.models.cloud_contracts import cloud_contract, write_cloud_contract

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


def test_a_file_that_is_too_large_for_a_contract_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"a\.json: 1,099,511,627,776 bytes, more than a contract has"):
        read_contract(tmp_path / "a.json")


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
