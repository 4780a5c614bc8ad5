"""Messages for pydantic's validation errors, with line and column. Values from the environment are masked."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from swath.errors import Mistake
from swath.spec.spelling import did_you_mean
from swath.spec.validation.model_paths import field_names, tag_values
from swath.spec.yaml.document import Path
from swath.spec.yaml.environment import ResolvedDocument

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "mapping_type": "a mapping",
    "none_required": "nothing",
    "finite_number": "a finite number",
}
_LIMITS = {
    "greater_than": "expected a number greater than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected a number less than {lt}",
    "less_than_equal": "expected at most {le}",
    "multiple_of": "expected a multiple of {multiple_of}",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "has the wrong form; it must match {pattern}",
}
_CHOICES = frozenset({"literal_error", "enum", "union_tag_invalid"})
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def mistakes(error: ValidationError, spec: type[BaseModel], resolved: ResolvedDocument) -> list[Mistake]:
    """The mistakes of a validation error, each once, without those of values that have a mistake already."""
    found: dict[tuple[Path, bool], list[Mistake]] = {}
    alternatives: dict[Path, list[str]] = {}
    errors = [_Error(item, spec, resolved) for item in error.errors(include_url=False, include_input=False)]
    paths = {one.path for one in errors}
    for one in errors:
        if any(one.path[: len(broken)] == broken for broken in resolved.document.broken):
            continue
        if one.kind == "too_short" and any(len(p) > len(one.path) and p[: len(one.path)] == one.path for p in paths):
            continue  # too short only because its items are wrong
        if expected := one.expected:
            alternatives.setdefault(one.path, []).append(expected)
        else:
            found.setdefault((one.path, False), []).append(one.mistake(one.message()))
    for path, choices in alternatives.items():
        found.setdefault((path, True), []).append(_type_mistake(path, choices, resolved))
    return [mistake for group in found.values() for mistake in dict.fromkeys(group)]


class _Error:
    """One of pydantic's errors, and the path of the document that it is about."""

    def __init__(self, item: Any, spec: type[BaseModel], resolved: ResolvedDocument) -> None:
        self.kind: str = item["type"]
        self.context: dict[str, Any] = item.get("ctx", {})
        self.text: str = item["msg"]
        self.spec, self.resolved, self.document = spec, resolved, resolved.document
        self.loc: Path = (*item["loc"], *self.context.get("at", ()))
        self.path = self.document.locate(self.loc)
        if self.kind in ("union_tag_invalid", "union_tag_not_found"):
            tag = str(self.context.get("discriminator", "")).strip("'")
            self.loc = (*self.path, tag)
            self.path = self.document.locate(self.loc)

    @property
    def expected(self) -> str:
        """The type that was expected; empty if the type is not the mistake."""
        return _EXPECTED.get(self.kind, "")

    @property
    def field(self) -> Path:
        """The path, with the name of a field that is missing."""
        missing = self.kind in ("missing", "union_tag_not_found") and isinstance(self.loc[-1], str)
        return (*self.path, self.loc[-1]) if missing else self.path

    def mistake(self, message: str) -> Mistake:
        mark = self.document.marks[self.path]
        return mark.mistake(self.field, self.resolved.scrub(message), key=self.kind == "extra_forbidden")

    def message(self) -> str:
        value, origin = self.document.at(self.path), self.resolved.origin(self.path)
        known = isinstance(value, str) and not origin
        if self.kind == "swath":
            return _fill(self.context["template"], self.context["values"], origin)
        if self.kind == "extra_forbidden":
            return "unknown key" + did_you_mean(
                str(self.loc[-1]), field_names(self.spec, self.document, self.path[:-1])
            )
        if self.kind == "missing":
            item = self.loc[-1]
            return "missing; it must be given" if isinstance(item, str) else f"item {item + 1} of the list is missing"
        if self.kind == "union_tag_not_found":
            known_tags = tag_values(self.spec, self.document, self.path, str(self.loc[-1]))
            return f"missing; expected {_either([repr(tag) for tag in known_tags])}"
        if self.kind in _CHOICES:
            return f"expected {self.choices()}" + (did_you_mean(value, self.words()) if known else "")
        if self.kind in _LIMITS:
            return _LIMITS[self.kind].format_map(self.context)
        if self.kind in ("too_short", "too_long"):
            limit, word = ("min_length", "least") if self.kind == "too_short" else ("max_length", "most")
            count = self.context[limit]
            return f"expected at {word} {count} {'item' if count == 1 else 'items'}"
        if origin:
            return f"the value of {origin} is not accepted here"
        if self.kind in ("value_error", "assertion_error"):
            return str(self.context.get("error", self.text))
        return self.text.replace("Input should be", "expected")

    def words(self) -> list[str]:
        choices = self.context.get("expected") or self.context.get("expected_tags") or ""
        return re.findall(r"'([^']*)'", choices)

    def choices(self) -> str:
        words = [repr(word) for word in self.words()]
        if not words:
            return str(self.context.get("expected", "another value"))
        return _either(words)


def _type_mistake(path: Path, choices: list[str], resolved: ResolvedDocument) -> Mistake:
    document = resolved.document
    value, mark = document.at(path), document.marks[path]
    message = f"expected {_either(list(dict.fromkeys(choices)))}, got {_type_name(value)}"
    if origin := resolved.origin(path):
        message = f"expected {_either(choices)}; {origin} is allowed only where text is expected"
    elif isinstance(value, str):
        if "true or false" in choices and value.lower() in _BOOLEANS:
            message += f" (did you mean {_BOOLEANS[value.lower()]}?)"
        elif _is_number(value) and any("number" in choice for choice in choices):
            message += "; leave out the quotes"
    elif choices == ["text"] and isinstance(value, (int, float)):
        message += "; put it in quotes"
    return mark.mistake(path, resolved.scrub(message))


def _type_name(value: Any) -> str:
    """The type of plain data as it is called in messages."""
    if value is None:
        return "nothing"
    names = {
        bool: "true or false",
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return names[type(value)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _either(words: list[str]) -> str:
    return "".join(words) if len(words) < 2 else f"{', '.join(words[:-1])} or {words[-1]}"


def _fill(template: str, values: dict[str, Any], origin: str) -> str:
    """The message with its values; a value with a reference to the environment is shown as it was written."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", origin or str(value))
    return template
