"""Specs as JSON Schema (draft 7), for editors: `# yaml-language-server: $schema=...`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from swath.spec.base import Spec
from swath.spec.matrix.matrix import EXCLUDE, INCLUDE, KEY
from swath.spec.matrix.search_space import RANGE, SCALES

DIALECT = "http://json-schema.org/draft-07/schema#"
_DOTTED = r"^[^.]+(\.[^.]+)+$"
_VALUES = frozenset({"default", "const", "enum", "examples"})
_TEMPLATE = "#/definitions/{model}"


def schema(spec_class: type[Spec], pipeline: str = "") -> dict[str, Any]:
    """JSON Schema of the specs of one pipeline. pipeline: its name, the only allowed value of `pipeline`."""
    full = _draft7(spec_class.model_json_schema(ref_template=_TEMPLATE))
    full["definitions"] = full.pop("$defs", {})
    full["properties"]["pipeline"] |= {"const": pipeline} if pipeline else {}
    full["properties"]["pipeline"].pop("default", None)
    return {"$schema": DIALECT, **_with_matrix(full, "#")}


def schemas(classes: Mapping[str, type[Spec]]) -> dict[str, Any]:
    """One JSON Schema for the specs of several pipelines, by name: the value of `pipeline` selects."""
    inputs = [(kind, "validation") for kind in dict.fromkeys(classes.values())]
    references, shared = models_json_schema(inputs, ref_template=_TEMPLATE)  # type: ignore[arg-type]
    definitions = _draft7(shared.get("$defs", {}))
    models = {name: references[(kind, "validation")]["$ref"].rpartition("/")[2] for name, kind in classes.items()}
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {"pipeline": {"enum": list(models), "description": "Name of the pipeline to run"}},
        "required": ["pipeline"],
        "allOf": [
            {
                "if": {"properties": {"pipeline": {"const": name}}, "required": ["pipeline"]},
                "then": _with_matrix(definitions[model], _TEMPLATE.format(model=model)),
            }
            for name, model in models.items()
        ],
        "definitions": definitions,
    }


def _with_matrix(spec: dict[str, Any], place: str) -> dict[str, Any]:
    """A spec's schema with `matrix` added. `place` is its JSON pointer. Required fields may be given in the matrix instead."""
    fields = {name: {"$ref": f"{place}/properties/{name}"} for name in spec["properties"] if name not in Spec.reserved}
    entry = {"type": "object", "minProperties": 1, "properties": fields, "patternProperties": {_DOTTED: {}}}
    closed = {"additionalProperties": False}
    span = {
        "description": "With `search`: random numbers from a range",
        "type": "object",
        "properties": {
            RANGE: {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            "scale": {"enum": list(SCALES)},
        },
        "required": [RANGE],
        **closed,
    }
    matrix = {
        "description": "One run for many variants: the cross product of the values of each field, with nested fields as dotted keys",
        "type": "object",
        "minProperties": 1,
        "properties": {
            **{
                name: {"anyOf": [{"type": "array", "minItems": 1, "items": value}, span]}
                for name, value in fields.items()
            },
            INCLUDE: {
                "description": "Variants to add, or more values for those that have these",
                "type": "array",
                "minItems": 1,
                "items": entry | closed,
            },
            EXCLUDE: {
                "description": "Variants to leave out: those that have all these values",
                "type": "array",
                "minItems": 1,
                "items": entry | closed,
            },
        },
        "patternProperties": {_DOTTED: {"anyOf": [{"type": "array", "minItems": 1}, span]}},
        **closed,
    }
    return {
        **spec,
        "properties": {**spec["properties"], KEY: matrix},
        "required": ["pipeline"],
        "if": {"required": [KEY]},
        "else": {"required": [name for name in spec.get("required", ()) if name != "pipeline"]},
    }


def _draft7(node: Any) -> Any:
    """The schema with the keywords of draft 2020-12 and OpenAPI replaced by those of draft 7."""
    if isinstance(node, list):
        return [_draft7(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: value if key in _VALUES else _draft7(value) for key, value in node.items()}
    if isinstance(found.get("title"), str) and "properties" not in found:
        del found["title"]  # of a field: generated from its name
    if isinstance(items := found.get("prefixItems"), list):
        del found["prefixItems"]
        found["items"] = items
    discriminator = found.get("discriminator")
    if isinstance(discriminator, dict) and "propertyName" in discriminator and "oneOf" in found:
        del found["discriminator"]
        tag = {"required": [discriminator["propertyName"]]}
        found["oneOf"] = [{"allOf": [member, tag]} for member in found["oneOf"]]
    if "$ref" in found and len(found) > 1:  # draft 7 ignores the siblings of a $ref
        found = {"allOf": [{"$ref": found.pop("$ref")}], **found}
    return found
