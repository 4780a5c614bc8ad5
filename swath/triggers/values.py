"""Values in `set:` of a trigger: `${trigger:due-7d}`, `${found:day}`, `${previous:output}`. They are put in as data, never evaluated.

A text that is one reference becomes the value itself, with its type; in a longer text the value is put in as text. What was found
elsewhere may not name an environment variable, nor lead out of a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from swath.errors import UsageError

LONGEST = 2000
"""Characters of a text that was found."""
MOST_ITEMS = 10_000
"""Values in a list that was found."""
_REFERENCE = re.compile(r"\$\{(trigger|found|previous):([^{}]*)\}")
_TRIGGER = re.compile(r"(name|key|due|day|month|year)(?:([+-])(\d{1,6})(mo|[mhdwy]))?")
_UNITS = {"due": ("m", "h", "d", "w"), "day": ("d", "w"), "month": ("mo", "y"), "year": ("y",), "name": (), "key": ()}
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_ENV = "${env:"
_UP = re.compile(r"(^|[/\\])\.\.([/\\]|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Known:
    """What references of one firing stand for."""

    name: str
    """Of the trigger."""
    key: str
    """Of the firing: the due instant, or what was found."""
    due: datetime
    """When it was due, or found."""
    zone: str = "UTC"
    """In which days, months and years are meant."""
    found: Mapping[str, Any] = field(default_factory=dict)
    previous: Mapping[str, Any] | None = None
    """What was found for the last run of the same trigger that is done; of a trigger that follows another, for the other's run
    before. None when there is none."""


class NothingBefore(UsageError):
    """A value of the previous run is wanted, and there is none."""


def references(value: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of each reference in a value, such as ("trigger", "due-7d")."""
    if isinstance(value, str):
        yield from ((match[1], match[2]) for match in _REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def reference_problem(kind: str, name: str, found: frozenset[str] | None) -> str:
    """What is wrong with a reference; empty when nothing is. found: names of what the trigger finds; None when they are not known."""
    if kind == "trigger":
        match = _TRIGGER.fullmatch(name)
        if match is None:
            return f"${{trigger:{name}}}: expected name, key, due, day, month or year, with an offset such as due-7d"
        if match[4] and match[4] not in _UNITS[match[1]]:
            allowed = ", ".join(_UNITS[match[1]]) or "none"
            return f"${{trigger:{name}}}: units of an offset of {match[1]}: {allowed}"
        return ""
    if found is not None and name not in found:
        names = ", ".join(sorted(found)) or "nothing: it is a schedule"
        return f"${{{kind}:{name}}}: this trigger finds {names}"
    return ""


def filled(settings: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The values of a trigger's `set:` for one firing. Raises UsageError for a value that may not be put in, NothingBefore."""
    return {key: _filled(value, known) for key, value in settings.items()}


def _filled(value: Any, known: Known) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _value(whole[1], whole[2], known)
    text = _REFERENCE.sub(lambda match: _text(match[0], _value(match[1], match[2], known)), value)
    if text.count(_ENV) > value.count(_ENV) or (
        _UP.search(text) and not _UP.search(value)
    ):  # of two values, or of a value and its text
        raise UsageError(f"{value!r} with what was found is {text[:200]!r}, which may not stand in a spec")
    return text


def _text(reference: str, value: Any) -> str:
    if value is None or isinstance(value, list | dict):
        raise UsageError(f"{reference} is no text or number, and cannot be a part of a text", remedy="write it alone")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(kind: str, name: str, known: Known) -> Any:
    if kind == "trigger":
        return _of_trigger(name, known)
    values = known.found if kind == "found" else known.previous
    if values is None:
        raise NothingBefore(f"${{previous:{name}}}: there is no earlier run to take it from")
    if name not in values:
        raise UsageError(
            f"${{{kind}:{name}}} has no value in this firing", remedy=f"it has: {', '.join(sorted(values))}"
        )
    return checked(values[name], f"${{{kind}:{name}}}")


def _of_trigger(name: str, known: Known) -> str:
    match = _TRIGGER.fullmatch(name)
    if match is None:
        raise UsageError(reference_problem("trigger", name, None))
    what, sign, count, unit = match.groups()
    number = int(f"{sign}{count}") if count else 0
    if what in ("name", "key"):
        return known.name if what == "name" else str(checked(known.key, "${trigger:key}"))
    try:
        return _moment(what, number, unit, known)
    except (OverflowError, ValueError) as error:
        raise UsageError(f"${{trigger:{name}}} is no date: {error}") from None


def _moment(what: str, number: int, unit: str | None, known: Known) -> str:
    if what == "due":
        moment = known.due.astimezone(UTC) + number * _SPANS.get(unit or "", timedelta())
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    local = known.due.astimezone(ZoneInfo(known.zone)).date()
    if what == "day":
        return (local + number * _SPANS.get(unit or "", timedelta())).isoformat()
    months = local.year * 12 + local.month - 1 + number * {"mo": 1, "y": 12}.get(unit or "", 0)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise ValueError(f"the year {year}")
    return f"{year:04d}-{month + 1:02d}" if what == "month" else f"{year:04d}"


def checked(value: Any, what: str) -> Any:
    """A value that was found, as a spec may get it: JSON, within limits, with no reference to the environment and no way out of a
    folder. Raises UsageError."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple) and len(value) <= MOST_ITEMS:
        return [checked(item, what) for item in value]
    if not isinstance(value, str):
        raise UsageError(
            f"{what} is a {type(value).__name__}: only texts, numbers and lists of them are put into a spec"
        )
    if len(value) > LONGEST or _CONTROL.search(value):
        raise UsageError(f"{what} is longer than {LONGEST} characters, or has control characters")
    if _UP.search(value):
        raise UsageError(f"{what} is {value[:200]!r}, which leads out of a folder")
    if _ENV in value:
        raise UsageError(f"{what} names an environment variable: what was found may not")
    return value
