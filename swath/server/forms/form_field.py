"""The fields of a form, made from a spec's text and the schema of its pipeline."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from swath.server.forms.spec_schema import Schema, SpecSchema, fitting, is_area
from swath.spec.yaml.document import Document, Path
from swath.spec.yaml.write import flow, scalar

FieldKind = Literal["text", "choice", "lines", "items", "section", "yaml", "nothing"]
UNSET = ""
"""Choice of a field that is not in the document."""
_DEPTH = 10
_SHOWN = 200
"""Items of a list that get fields of their own."""


@dataclass(frozen=True)
class FormField:
    """One value of the document, or one that it may have."""

    path: Path
    label: str
    doc: str = ""
    kind: FieldKind = "text"
    """Of what is filled in; `nothing` where the choice between ways says all."""
    text: str = ""
    """What is filled in."""
    given: bool = False
    required: bool = False
    default: str = ""
    line: int = 0
    """Of the value; of what it would be in where it is not given."""
    ways: tuple[tuple[str, str], ...] = ()
    """Ways to write it, as (choice, label), where there are several or it may be left out."""
    way: str = UNSET
    choices: tuple[tuple[str, str], ...] = ()
    """Of kind `choice`: (value as JSON, label)."""
    schema: Schema | None = None
    """Of what is filled in."""
    all_ways: tuple[Schema, ...] = ()
    children: tuple[FormField, ...] = ()
    area: bool = False
    drawn: str = ""
    """Of an area: its box or GeoJSON, as JSON."""

    @property
    def pointer(self) -> str:
        """Its path as a JSON pointer, which is its name in the form."""
        return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in self.path)

    @property
    def main(self) -> tuple[FormField, ...]:
        """Fields within it that are there, or have to be."""
        return tuple(each for each in self.children if each.given or each.required)

    @property
    def more(self) -> tuple[FormField, ...]:
        """Fields within it that may be added."""
        return tuple(each for each in self.children if not each.given and not each.required)

    @property
    def fields(self) -> Iterator[FormField]:
        """This field and all within it."""
        yield self
        for each in self.children:
            yield from each.fields

    @property
    def inputs(self) -> dict[str, str]:
        """What a browser sends of this field and those within it when nobody has touched it."""
        found = {}
        for each in self.fields:
            if each.ways:
                found[f"k{each.pointer}"] = each.way
            if each.kind in ("text", "choice", "lines", "yaml"):
                found[f"f{each.pointer}"] = each.text
        return found


def spec_form(schema: SpecSchema, document: Document) -> FormField | None:
    """The form of a spec; None for a text that is no mapping, or whose pipeline is not known."""
    data = document.data if isinstance(document.data, dict) else {}
    spec = schema.of(str(data.get("pipeline", "")))
    return None if spec is None else _FormBuilder(schema, document).spec(spec, data)


class _FormBuilder:
    def __init__(self, schema: SpecSchema, document: Document) -> None:
        self._schema, self._document = schema, document

    def spec(self, spec: Schema, data: dict[str, Any]) -> FormField:
        section = FormField((), "", _text(spec.get("description")), "section", given=True, schema=spec)
        children = self._children(section, spec, data)
        pipelines = tuple((scalar_json(name), name) for name in self._schema.pipelines)
        first = FormField(
            ("pipeline",), "pipeline", "", "choice", scalar_json(data["pipeline"]), True, True, choices=pipelines,
            line=self._line(("pipeline",)), schema={"enum": list(self._schema.pipelines)},
        )  # fmt: skip
        return _with(section, children=(first, *(each for each in children if each.path != ("pipeline",))))

    def _children(self, section: FormField, way: Schema, value: dict[str, Any]) -> tuple[FormField, ...]:
        properties = way.get("properties")
        known = properties if isinstance(properties, dict) else {}
        required = way.get("required") or []
        found = [
            self._field(each, value, name, (*section.path, name), name in required)
            for name, each in known.items()
            if not (isinstance(each, dict) and "const" in each and name in value)
        ]
        for name in value:
            if name not in known:
                found.append(
                    self._yaml((*section.path, name), name, value[name], "The schema does not have this field.")
                )
        return tuple(found)

    def _field(self, schema: Any, holder: Any, key: str | int, path: Path, required: bool) -> FormField:
        given = key in holder if isinstance(holder, dict) else True
        value = holder[key] if given else None
        own, ways = self._schema.resolved(schema), self._schema.ways(schema)
        default = own.get("default")
        field = FormField(
            path, str(key) if isinstance(key, str) else str(key + 1), _text(own.get("description")), given=given, required=required,
            default="" if default is None else flow(default), line=self._line(path), area=is_area(ways), all_ways=ways,
            drawn=area_json(value) if is_area(ways) else "",
        )  # fmt: skip
        if len(path) > _DEPTH:
            return self._yaml(path, field.label, value, field.doc) if given else _with(field, kind="nothing")
        if len(ways) == 1 and self._schema.kind(ways[0]) in ("text", "choice", "lines"):
            if value is None or fitting(self._schema, ways, value) is not None:
                return self._filled(field, ways[0], value)
            return self._yaml(path, field.label, value, field.doc)
        number = fitting(self._schema, ways, value) if value is not None else None
        if value is not None and number is None:
            return self._yaml(path, field.label, value, field.doc)
        if number is None and required and len(ways) == 1 and self._schema.kind(ways[0]) == "section":
            return self._filled(field, ways[0], None)
        labels = tuple((str(index), self._label(way)) for index, way in enumerate(ways))
        none = (
            ()
            if required and number is not None
            else ((UNSET, "choose" if required else f"not given{_unless(field)}"),)
        )
        field = _with(field, ways=(*none, *labels), way=UNSET if number is None else str(number))
        return _with(field, kind="nothing") if number is None else self._filled(field, ways[number], value)

    def _filled(self, field: FormField, way: Schema, value: Any) -> FormField:
        """A field that is written in one way."""
        kind = self._schema.kind(way)
        field = _with(field, schema=way)
        if kind == "text" and isinstance(value, str) and not value.isprintable():
            return self._yaml(field.path, field.label, value, field.doc)
        if kind == "text":
            return _with(
                field,
                kind="text",
                text="" if value is None else str(value) if isinstance(value, str) else scalar(value),
            )
        if kind == "choice":
            values = [True, False] if way.get("type") == "boolean" else list(way["enum"])
            choices = tuple(
                (scalar_json(each), {True: "yes", False: "no"}[each] if isinstance(each, bool) else str(each))
                for each in values
            )
            unset = () if field.required and field.given else ((UNSET, f"not given{_unless(field)}"),)
            return _with(
                field, kind="choice", choices=(*unset, *choices), text=UNSET if value is None else scalar_json(value)
            )
        if kind == "lines":
            if value is not None and any(
                isinstance(each, (dict, list)) or not str(each).isprintable() for each in value
            ):
                return self._yaml(field.path, field.label, value, field.doc)
            return _with(
                field,
                kind="lines",
                text="\n".join(each if isinstance(each, str) else scalar(each) for each in value or ()),
            )
        if kind == "items" and len(value) <= _SHOWN:
            items = tuple(
                self._field(way["items"], value, number, (*field.path, number), True) for number in range(len(value))
            )
            return _with(field, kind="items", children=items)
        if kind == "section":
            return _with(field, kind="section", children=self._children(field, way, value or {}))
        if kind == "constant":
            return _with(field, kind="nothing")
        return _with(field, kind="yaml", text=flow(value))

    def _yaml(self, path: Path, label: str, value: Any, doc: str) -> FormField:
        """A field for any value."""
        return FormField(path, label, doc, "yaml", flow(value), True, line=self._line(path))

    def _label(self, way: Schema) -> str:
        """What a way to write a value is called among others."""
        kind = self._schema.kind(way)
        properties = [each for each in (way.get("properties") or {}).values() if isinstance(each, dict)]
        constants = [each["const"] for each in properties if "const" in each]
        if constants or kind == "constant":
            return str(constants[0] if constants else way.get("title") or way["const"])
        about = re.split(r"[;\n]", _text(way.get("description")))[0].rstrip(".")
        if about and len(about) <= 60 and kind != "section":
            return about
        names = {"section": "settings", "lines": "a list", "items": "a list", "choice": "one of a few", "yaml": "YAML"}
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _text(way.get("title"))).lower() or names.get(kind, "a value")

    def _line(self, path: Path) -> int:
        return self._document.marks[self._document.locate(path)].line


def scalar_json(value: Any) -> str:
    """A value as a choice of a form."""
    return flow(value) if not isinstance(value, str) else f'"{value}"'


def area_json(value: Any) -> str:
    """A box or GeoJSON as JSON, for the map; empty for other ways to write an area."""
    if isinstance(value, list) or (isinstance(value, dict) and "type" in value):
        return json.dumps(value)
    return ""


def _unless(field: FormField) -> str:
    return f" ({field.default if len(field.default) < 40 else 'the default'})" if field.default else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _with(field: FormField, **changed: Any) -> FormField:
    return dataclasses.replace(field, **changed)
