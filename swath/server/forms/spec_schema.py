"""The JSON Schema of a project's specs, as `pipe schema` writes it: which fields there are, and in which ways each may be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Schema = Mapping[str, Any]
WayKind = Literal["text", "choice", "constant", "lines", "items", "section", "yaml"]
_DEPTH = 20
"""References within references; one that goes round ends here."""
MOST_STEPS = 100_000
"""Keys of schemas that are looked at for one form: a schema may name itself again and again. What comes after is YAML."""
MOST_WAYS = 100
"""Of one value."""
_TYPES = ("string", "integer", "number")


class SpecSchema:
    """A schema that an agent has sent: data of others, so nothing of it is taken for granted."""

    def __init__(self, document: Any) -> None:
        self._document: Schema = document if isinstance(document, dict) else {}
        self._specs: dict[str, Schema] = {}
        self._left = MOST_STEPS
        for each in _list(self._document.get("allOf")):
            then, when = _dict(_dict(each).get("then")), _dict(_dict(each).get("if"))
            name = _dict(_dict(when.get("properties")).get("pipeline")).get("const")
            if isinstance(name, str) and then:
                self._specs[name] = then

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the pipelines."""
        return tuple(self._specs)

    def of(self, pipeline: str) -> Schema | None:
        """The schema of one pipeline's specs, with which a new form begins."""
        self._left = MOST_STEPS
        found = self._specs.get(pipeline)
        if found is None:
            return None
        spec = self.resolved(found)
        return {**spec, "required": _dict(spec.get("else")).get("required", spec.get("required", []))}

    def resolved(self, schema: Any, depth: int = 0) -> Schema:
        """A schema with what its `$ref` and `allOf` name put in."""
        own = _dict(schema)
        self._left -= 1 + len(own)
        if depth > _DEPTH or self._left < 0:
            return {}
        parts = [self._named(own["$ref"])] if "$ref" in own else []
        found: dict[str, Any] = {}
        required: dict[str, None] = {}
        for part in [*parts, *_list(own.get("allOf")), {key: own[key] for key in own if key not in ("$ref", "allOf")}]:
            each = (
                part
                if not isinstance(part, dict) or not {"$ref", "allOf"} & set(part)
                else self.resolved(part, depth + 1)
            )
            found |= _dict(each)
            required |= dict.fromkeys(name for name in _list(_dict(each).get("required")) if isinstance(name, str))
        return {**found, "required": list(required)} if required else found

    def ways(self, schema: Any, depth: int = 0) -> tuple[Schema, ...]:
        """The ways in which a value may be written, without `null`. Text and numbers are one way, true and false are one each."""
        found = self.resolved(schema)
        members = _list(found.get("anyOf")) or _list(found.get("oneOf"))
        if not members or depth > _DEPTH:
            return (found,)
        ways: list[Schema] = []
        for member in members[:MOST_WAYS]:
            for way in self.ways(member, depth + 1):
                if way.get("type") in _TYPES and "enum" not in way and "const" not in way:
                    texts = [each for each in ways if "types" in each]
                    types = (*texts[0]["types"], way["type"]) if texts else (way["type"],)
                    at = ways.index(texts[0]) if texts else len(ways)
                    ways[at : at + 1] = [{**way, **(texts[0] if texts else {}), "types": types}]
                elif way.get("type") == "boolean":
                    ways += [{"const": True, "title": "yes"}, {"const": False, "title": "no"}]
                elif way.get("type") != "null":
                    ways.append(way)
        ways = ways[:MOST_WAYS]
        return tuple(each for number, each in enumerate(ways) if each not in ways[:number])

    def kind(self, way: Schema) -> WayKind:
        """What stands in a form for one way of writing a value."""
        if "const" in way:
            return "constant"
        if _list(way.get("enum")) or way.get("type") == "boolean":
            return "choice"
        if way.get("type") in _TYPES or "types" in way:
            return "text"
        if way.get("type") == "array":
            items = way.get("items")
            members = self.ways(items) if isinstance(items, dict) else ()
            if isinstance(items, list) or (len(members) == 1 and self._is_text(members[0])):
                return "lines"
            return "items" if members else "yaml"
        closed = way.get("additionalProperties") is False and "patternProperties" not in way
        return "section" if closed and _dict(way.get("properties")) else "yaml"

    def _is_text(self, way: Schema) -> bool:
        return way.get("type") != "array" and self.kind(way) == "text"

    def _named(self, pointer: Any) -> Any:
        found: Any = self._document
        for segment in str(pointer).removeprefix("#").strip("/").split("/"):
            found = _dict(found).get(segment.replace("~1", "/").replace("~0", "~"))
        return found


def is_area(ways: tuple[Schema, ...]) -> bool:
    """Whether a value is an area: a box of four numbers, or GeoJSON, among other ways."""
    box = any(way.get("type") == "array" and way.get("minItems") == way.get("maxItems") == 4 for way in ways)
    kinds = [_list(_dict(_dict(way.get("properties")).get("type")).get("enum")) for way in ways]
    return box and any("FeatureCollection" in kind for kind in kinds)


def fits(schema: SpecSchema, way: Schema, value: Any) -> bool:
    """Whether a value is written in this way, as far as its form goes; what is in it may be wrong."""
    kind = schema.kind(way)
    if kind == "constant":
        return bool(way["const"] == value and type(way["const"]) is type(value))
    if kind == "choice":
        return isinstance(value, bool) if way.get("type") == "boolean" else value in _list(way.get("enum"))
    if kind == "text":
        types = way.get("types", (way.get("type"),))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (isinstance(value, str) and ("string" in types or "${" in value)) or (
            number and set(types) != {"string"}
        )
    if way.get("type") == "array":
        return isinstance(value, list)
    if not isinstance(value, dict):
        return kind == "yaml" and "type" not in way
    constants = {
        name: _dict(each)["const"] for name, each in _dict(way.get("properties")).items() if "const" in _dict(each)
    }
    if any(name in value and value[name] != constant for name, constant in constants.items()):
        return False
    enums = _list(_dict(_dict(way.get("properties")).get("type")).get("enum"))
    return not (enums and "type" in value and value["type"] not in enums)


def fitting(schema: SpecSchema, ways: tuple[Schema, ...], value: Any) -> int | None:
    """The number of the way in which a value is written: of several the one that has the most of its keys."""
    found = [number for number, way in enumerate(ways) if fits(schema, way, value)]
    if not isinstance(value, dict):
        return found[0] if found else None
    return max(found, key=lambda number: _likeness(ways[number], value), default=None)


def _likeness(way: Schema, value: dict[str, Any]) -> tuple[int, int]:
    known = _dict(way.get("properties"))
    missing = [name for name in _list(way.get("required")) if name not in value]
    return len(set(known) & set(value)) - len(set(value) - set(known)), -len(missing)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
