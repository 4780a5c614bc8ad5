"""Parameters of a pipeline, read from the JSON Schema of its specs: names, types, defaults, descriptions."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list"}
Schema = dict[str, Any]
SHORT_DEFAULT = 40
"""Characters of a default in short lines."""


@dataclass(frozen=True)
class Parameter:
    """One key of a spec or of a mapping in it."""

    name: str
    type: str
    """In words, such as `list of text`."""
    required: bool
    default: Any
    """None also when there is no default."""
    doc: str
    forms: tuple[ParameterForm, ...] = ()
    """The kinds of mapping that its value can be."""


@dataclass(frozen=True)
class ParameterForm:
    """One kind of mapping that a value can be: its keys."""

    mark: str
    """The key and value that distinguish it from other forms, such as `source: files`; empty when none do."""
    doc: str
    parameters: tuple[Parameter, ...] = field(default=())


def parameters(schema: Schema) -> tuple[Parameter, ...]:
    """The keys of a spec's schema, without `pipeline`."""
    found = _parameters(schema, schema.get("definitions", {}), ())
    return tuple(parameter for parameter in found if parameter.name != "pipeline")


def _parameters(schema: Schema, definitions: Schema, within: tuple[str, ...]) -> Iterator[Parameter]:
    required = [*schema.get("required", ()), *schema.get("else", {}).get("required", ())]  # else: without a matrix
    for name, value in schema.get("properties", {}).items():
        leaves = list(_leaves(value, definitions))
        words = list(dict.fromkeys(_words(leaf, definitions) for leaf in leaves if leaf.get("type") != "null"))
        doc = " ".join((value.get("description") or _first(leaves, "description")).split())
        default = value.get("default")
        forms = tuple(_forms(leaves, definitions, within, doc))
        yield Parameter(name, " or ".join(words) or "anything", name in required, default, doc, forms)


def _forms(leaves: list[Schema], definitions: Schema, within: tuple[str, ...], doc: str) -> Iterator[ParameterForm]:
    for leaf in leaves:
        title = leaf.get("title", "")
        if "properties" not in leaf or title in within or len(within) > 4:
            continue
        const = next(((k, v["const"]) for k, v in leaf["properties"].items() if "const" in v), None)
        inner = _parameters(leaf, definitions, (*within, title))
        keys = tuple(p for p in inner if const is None or p.name != const[0])
        own = " ".join(leaf.get("description", "").split())
        yield ParameterForm(f"{const[0]}: {const[1]}" if const else "", "" if own == doc else own, keys)


def _leaves(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, references followed."""
    if "$ref" in schema:
        yield from _leaves(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    elif "anyOf" in schema or "oneOf" in schema:
        for member in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from _leaves(member, definitions)
    elif "allOf" in schema:
        yield from _leaves(schema["allOf"][0], definitions)
    else:
        yield schema


def _words(leaf: Schema, definitions: Schema) -> str:
    if "const" in leaf:
        return str(leaf["const"])
    if "enum" in leaf:
        return " | ".join(str(value) for value in leaf["enum"])
    kind = leaf.get("type", "")
    if kind == "array" and isinstance(leaf.get("items"), dict) and leaf["items"]:
        items = dict.fromkeys(_words(item, definitions) for item in _leaves(leaf["items"], definitions))
        return f"list of {' or '.join(items)}"
    if kind == "array" and isinstance(leaf.get("items"), list):
        return f"list of {len(leaf['items'])}"
    if kind == "object" or "properties" in leaf:
        return "mapping"
    return TYPES.get(kind, "anything")


def _first(leaves: list[Schema], key: str) -> str:
    return next((str(leaf[key]) for leaf in leaves if key in leaf), "")


def to_plain(found: tuple[Parameter, ...]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(parameter) for parameter in found]


def to_short_lines(found: tuple[Parameter, ...], width: int, indent: str = "") -> Iterator[str]:
    """Lines for a terminal: required parameters first, each with the first sentence of its description, without keys of mappings."""
    room = max(30, width - len(indent) - 4)
    for parameter in sorted(found, key=lambda p: not p.required):
        marks = [form.mark for form in parameter.forms if form.mark]
        kinds = f" with {' or '.join(marks)}" if marks and parameter.type == "mapping" else ""
        yield f"{indent}{parameter.name}  ({parameter.type}{kinds}{_default(parameter, SHORT_DEFAULT)})"
        yield from _wrapped(re.split(r"(?<=\.)\s+(?=[A-Z`])", parameter.doc, maxsplit=1)[0], room, indent + "    ")


def to_lines(found: tuple[Parameter, ...], width: int, indent: str = "") -> Iterator[str]:
    """Lines for a terminal: required parameters first, each with its description below. width: in columns."""
    room = max(30, width - len(indent) - 4)
    for parameter in sorted(found, key=lambda p: not p.required):
        yield f"{indent}{parameter.name}  ({parameter.type}{_default(parameter)})"
        yield from _wrapped(parameter.doc, room, indent + "    ")
        listed: list[Parameter] = []
        for form in parameter.forms:
            inner = indent + "    "
            if form.mark:
                yield f"{inner}with {form.mark}"
                inner += "  "
            yield from _wrapped(form.doc, room, inner)
            yield from to_lines(tuple(p for p in form.parameters if p not in listed), width, inner)
            again = ", ".join(p.name for p in form.parameters if p in listed)
            if again:
                yield from _wrapped(f"{again}: as above", room, inner)
            listed += form.parameters


def _default(parameter: Parameter, longest: int | None = None) -> str:
    """For the brackets behind a parameter. longest: characters of a default; of a longer one only that there is one."""
    if parameter.required:
        return ", required"
    if parameter.default in (None, "", [], {}):
        return ""
    text = json.dumps(parameter.default, ensure_ascii=False)
    return f", default {text}" if longest is None or len(text) <= longest else ", has a default"


def _wrapped(text: str, room: int, indent: str) -> list[str]:
    return [indent + line for line in textwrap.wrap(text, room)]
