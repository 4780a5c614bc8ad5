"""The filter of a listing, as far as it is simulated."""

from __future__ import annotations

import re
from typing import Any

from tests.clouds.refusal import Answer, Refused


def parsed(text: str) -> list[tuple[str, str, str]]:
    """(field, operator, value) of a filter: conditions that must all hold. Raises Refused for what is not simulated."""
    conditions = []
    for part in re.split(r"\s+AND\s+|(?<=\))\s+(?=\()", text.strip()) if text.strip() else []:
        plain = part.strip().removeprefix("(").removesuffix(")").strip()
        match = re.fullmatch(r"([\w.\-]+)\s*(!=|=|:|eq|ne)\s*\"?([^\"\s]*)\"?", plain)
        if match is None:
            raise Refused(
                400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
            )
        conditions.append((match[1], match[2], match[3]))
    return conditions


def holds(view: Answer, name: str, operator: str, value: str) -> bool:
    found: Any = view
    for part in name.split(".", 1):
        found = found.get(part) if isinstance(found, dict) else None
    if operator == ":" and value == "*":
        return found is not None
    if operator == ":":
        return found is not None and value.strip("*").lower() in str(found).lower()
    return (str(found) == value) == (operator in ("=", "eq"))
