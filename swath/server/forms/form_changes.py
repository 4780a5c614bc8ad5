"""What somebody has changed in a form is changed in the spec's text: the text is the truth, and keeps all else as it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swath.errors import Mistake, SpecError, UsageError
from swath.server.forms.form_field import UNSET, FormField, scalar_json, spec_form
from swath.server.forms.spec_schema import Schema, SpecSchema
from swath.spec.yaml.document import Path, parse
from swath.spec.yaml.edit import remove_value, set_value

FILE = "spec"


@dataclass(frozen=True)
class Changed:
    """A text with the changes of a form."""

    text: str
    mistakes: tuple[Mistake, ...] = ()
    """Of fields that could not be taken into the text."""


def with_form(schema: SpecSchema, shown: str, text: str, sent: dict[str, str], button: str = "") -> Changed:
    """Take the changes of a form into a text.

    shown: the text from which the form was made. text: as it is now; it may have been changed beside the form. sent: the form's
    fields. button: `add/PATH` for another item of a list, `remove/PATH` for one less.
    """
    try:
        before = spec_form(schema, parse(shown, FILE))
    except SpecError:
        before = None
    if before is None:
        return Changed(text)
    mistakes: list[Mistake] = []
    dealt: list[Path] = []
    for field in before.fields:
        if any(field.path[: len(path)] == path for path in dealt):
            continue
        edit = _edit(schema, field, sent, button)
        if edit is None:
            continue
        dealt.append(field.path)
        try:
            text = edit.apply(text, before)
        except SpecError as error:
            found = error.mistakes[0]
            mistakes.append(Mistake(FILE, field.line, 1, ".".join(map(str, field.path)), found.message))
        except (UsageError, KeyError, IndexError, TypeError) as error:
            message = (
                error.message
                if isinstance(error, UsageError)
                else "the text was changed beside the form; do it once more"
            )
            mistakes.append(Mistake(FILE, field.line, 1, ".".join(map(str, field.path)), message))
    return Changed(text, tuple(mistakes))


@dataclass(frozen=True)
class _FieldEdit:
    """A change of one field."""

    field: FormField
    path: Path
    value: Any = None
    source: str = ""
    """YAML that is to be read as the value."""
    remove: bool = False

    def apply(self, text: str, form: FormField) -> str:
        if self.remove:
            data: Any = parse(text, FILE).data
            for segment in self.path:
                known = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
                if segment not in known:
                    return text
                data = data[segment]
            return remove_value(text, self.path)
        value = self.value
        if self.source:
            document = parse(self.source, FILE)
            if document.mistakes:
                raise SpecError(list(document.mistakes))
            value = document.data
        holder = next((each for each in form.fields if each.path == self.path[:-1]), form)
        properties = (holder.schema or {}).get("properties")
        return set_value(text, self.path, value, tuple(properties) if isinstance(properties, dict) else ())


def _edit(schema: SpecSchema, field: FormField, sent: dict[str, str], button: str) -> _FieldEdit | None:
    """What becomes of a field; None where it stays."""
    if button == f"add{field.pointer}" and field.kind == "items":
        ways = schema.ways((field.schema or {}).get("items"))
        last = field.children[-1].way if field.children else UNSET
        item = ways[int(last)] if last != UNSET else ways[0]  # as the one before it
        return _FieldEdit(field, (*field.path, len(field.children)), blank(schema, item))
    area = sent.get(f"a{field.pointer}", "").strip()
    if field.area and area and area != field.drawn:
        return _FieldEdit(field, field.path, source=f"[{area}]" if area[0] in "-0123456789" else area)
    if field.area and sent.get(f"p{field.pointer}"):
        return _FieldEdit(field, field.path, sent[f"p{field.pointer}"])
    if button == f"remove{field.pointer}":
        return _FieldEdit(field, field.path, remove=True)
    way = sent.get(f"k{field.pointer}", field.way)
    if field.ways and way != field.way and way in dict(field.ways):
        if way == UNSET:
            return _FieldEdit(field, field.path, remove=True)
        return _FieldEdit(field, field.path, blank(schema, field.all_ways[int(way)], field))
    filled = sent.get(f"f{field.pointer}", field.text)
    if field.kind not in ("text", "choice", "lines", "yaml") or filled == field.text:
        return None
    if not filled.strip():
        return _FieldEdit(field, field.path, remove=True)
    if field.kind == "yaml":
        return _FieldEdit(field, field.path, source=filled)
    if field.kind == "choice":
        values = (
            [True, False] if (field.schema or {}).get("type") == "boolean" else (field.schema or {}).get("enum", [])
        )
        return next((_FieldEdit(field, field.path, each) for each in values if scalar_json(each) == filled), None)
    if field.kind == "lines":
        items = (field.schema or {}).get("items")
        way_of_item = items if isinstance(items, dict) else items[0] if items else {}
        lines = [line.strip() for line in filled.splitlines() if line.strip()]
        return _FieldEdit(field, field.path, [_value(schema.ways(way_of_item)[0], line) for line in lines])
    return _FieldEdit(field, field.path, _value(field.schema or {}, filled.strip()))


def _value(way: Schema, text: str) -> Any:
    """What is filled in as a value: a number where the field may be one."""
    if set(way.get("types", (way.get("type"),))) & {"integer", "number"}:
        try:
            found = parse(text, FILE).data
        except SpecError:
            return text
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return found
    return text


def blank(schema: SpecSchema, way: Schema, field: FormField | None = None, depth: int = 0) -> Any:
    """A value to begin with. field: what was there before, in another way: a single text goes on in the first field that takes one."""
    kind = schema.kind(way)
    old = field.text if field is not None and field.kind == "text" else ""
    if field is not None and field.kind == "section":
        texts = [each.text for each in field.children if each.kind == "text" and each.required and each.given]
        old = texts[0] if len(texts) == 1 else ""
    if kind == "constant":
        return way["const"]
    if kind == "choice":
        return True if way.get("type") == "boolean" else way["enum"][0]
    if kind == "text":
        if "string" in way.get("types", (way.get("type"),)):
            return old
        least = way.get("minimum", way.get("exclusiveMinimum", 0))
        return least if isinstance(least, (int, float)) else 0
    if way.get("type") == "array":
        return []
    found: dict[str, Any] = {}
    properties = way.get("properties")
    for name, each in properties.items() if isinstance(properties, dict) else ():
        own = each if isinstance(each, dict) else {}
        if "const" in own:
            found[name] = own["const"]
        elif name in (way.get("required") or []) and depth < 6:
            ways = schema.ways(own)
            found[name] = blank(schema, ways[0], depth=depth + 1)
            if old and found[name] == "":
                found[name], old = old, ""
    return found
