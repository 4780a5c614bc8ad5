"""JSON Schema for editors: valid draft 7, takes what loads, refuses what does not."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.loading.schema import schema, schemas
from swath.spec.spec_model import field_docs
from tests.spec.matrix.samples import Flood as Counted


class Map(Spec):
    """Make a map."""

    area: Area
    """Where."""
    imagery: Imagery
    model: ModelRef
    output: Output
    grid: GridSpec | None = None
    classes: tuple[int, str] = (1, "a")


class Train(Spec):
    """Train a model."""

    epochs: int
    """How often."""


GOOD: dict[str, Any] = {
    "pipeline": "map",
    "area": "a.geojson",
    "imagery": {"source": "files", "paths": ["a.tif"]},
    "model": "a.pt2",
    "output": "out",
}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"area": [0, 0, 1, 1]},
    {"area": "POLYGON ((0 0, 1 0, 1 1, 0 0))"},
    {"area": {"bbox": [0, 0, 1, 1.5], "crs": "EPSG:4326"}},
    {"area": {"path": "a.gpkg", "layer": "a", "where": "b = 1"}},
    {"area": {"wkt": "POLYGON ((0 0, 1 0, 1 1, 0 0))"}},
    {"area": {"type": "Polygon", "coordinates": []}},
    {"area": {"type": "FeatureCollection", "features": [], "name": "x"}},
    {"model": {"path": "a.safetensors", "factory": "a:b"}},
    {"output": {"to": "out", "vectors": False}},
    {"imagery": {"source": "stac", "api": "https://x", "collections": ["a"], "cloud_cover": 20}},
    {"imagery": {"source": "files", "paths": ["a"], "bands": ["red", 2], "mask": {"band": "scl", "kind": "scl"}}},
    {"grid": {"resolution": 10}},
    {"grid": None},
    {"classes": [1, "a"]},
    *({"cluster": c} for c in ("local", "inline", "pair", {"kind": "local", "workers": 2}, {"workers": 2})),
    {"cluster": {"kind": "address", "url": "tcp://a:1"}},
    {"name": "a", "on_error": "stop"},
]

REFUSED: list[dict[str, Any]] = [
    {"pipeline": "other"},
    {"area": [0, 0, 1]},
    {"area": [0, 0, 1, "x"]},
    {"area": {"bbox": [0, 0, 1]}},
    {"area": {"bbox": [0, 0, 1, 1], "src": "EPSG:4326"}},
    {"area": {"type": "Circle"}},
    {"area": 3},
    {"model": {"factory": "a:b"}},
    {"output": {"to": "out", "vectors": "yes"}},
    {"imagery": {"paths": ["a"]}},
    {"imagery": {"source": "files", "paths": []}},
    {"imagery": {"source": "files", "paths": ["a"], "api": "https://x"}},
    {"imagery": {"source": "tape"}},
    {"grid": {"resolution": 0}},
    {"classes": [1, "a", 2]},
    {"classes": ["a", 1]},
    {"cluster": {"kind": "gcp"}},
    {"cluster": {"kind": "local", "workers": 0}},
    {"cluster": {"kind": "address", "url": "http://a"}},
    {"name": "a b"},
    {"on_error": "maybe"},
    {"unknown": 1},
]


@pytest.fixture(scope="module")
def one() -> Draft7Validator:
    return Draft7Validator(schema(Map, "map"))


@pytest.fixture(scope="module")
def every() -> Draft7Validator:
    return Draft7Validator(schemas({"map": Map, "train": Train, "bare": Spec}))


def test_the_schemas_are_valid_draft_7(one: Draft7Validator, every: Draft7Validator) -> None:
    for validator in (one, every):
        Draft7Validator.check_schema(validator.schema)
        text = str(validator.schema)
        assert "$defs" not in text
        assert "prefixItems" not in text
        assert "2020-12" not in text
        assert "discriminator" not in text


@pytest.mark.parametrize("change", ACCEPTED, ids=str)
def test_good_specs_are_accepted(one: Draft7Validator, every: Draft7Validator, change: dict[str, Any]) -> None:
    assert list(one.iter_errors({**GOOD, **change})) == []
    assert list(every.iter_errors({**GOOD, **change})) == []


@pytest.mark.parametrize("change", REFUSED, ids=str)
def test_bad_specs_are_refused(one: Draft7Validator, every: Draft7Validator, change: dict[str, Any]) -> None:
    assert not one.is_valid({**GOOD, **change})
    assert not every.is_valid({**GOOD, **change})


@pytest.mark.parametrize("key", ["pipeline", "area", "imagery", "model", "output"])
def test_what_must_be_given_must_be_given(one: Draft7Validator, every: Draft7Validator, key: str) -> None:
    without = {k: v for k, v in GOOD.items() if k != key}
    assert not one.is_valid(without)
    assert not every.is_valid(without)


def test_the_pipeline_s_name_chooses_the_schema(every: Draft7Validator) -> None:
    assert every.is_valid({"pipeline": "train", "epochs": 3})
    assert every.is_valid({"pipeline": "bare"})
    assert not every.is_valid({"pipeline": "bare", "epochs": 3})
    assert not every.is_valid({**GOOD, "pipeline": "train"})


def test_descriptions_come_from_the_docstrings(one: Draft7Validator) -> None:
    properties = one.schema["properties"]
    assert one.schema["description"] == "Make a map."
    assert properties["area"]["description"] == "Where."
    assert properties["on_error"]["description"].startswith("When one item of many fails")
    assert one.schema["definitions"]["GridSpec"]["properties"]["resolution"]["description"].startswith("Pixel size")
    assert field_docs(Train)["epochs"] == "How often."
    assert field_docs(Train)["cluster"].startswith("Where to run")


@pytest.mark.parametrize("described", [schema(Counted, "flood"), schemas({"flood": Counted})], ids=["one", "all"])
def test_the_schema_knows_the_matrix_and_lets_required_fields_stand_there(described: dict[str, Any]) -> None:
    Draft7Validator.check_schema(described)
    validator = Draft7Validator(described)

    def fits(**fields: Any) -> bool:
        return bool(validator.is_valid({"pipeline": "flood", **fields}))

    assert fits(matrix={"count": [1, 2], "output.preview": [True], "exclude": [{"count": 1}]})
    assert fits(matrix={"include": [{"count": 1, "output.to": "a"}]})
    assert not fits()
    assert not fits(matrix={"count": ["one"]})
    assert not fits(matrix={"count": []})
    assert not fits(matrix={"cuont": [1]})
    assert not fits(matrix={"count": 1})
    assert not fits(matrix={})
    assert not fits(matrix={"cluster": ["local"]})
    assert not fits(matrix={"count": [1], "include": [{"cuont": 1}]})
