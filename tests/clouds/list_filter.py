"""Filters of listings of the simulated Compute Engine."""

from __future__ import annotations

import re
from typing import Any

from tests.clouds.api_error import ApiError, Json


def parsed(text: str) -> list[tuple[str, str, str]]:
    """(field, operator, value) of each condition of a filter; all must hold. Raises ApiError for what is not simulated."""
    conditions = []
    for part in re.split(r"\s+AND\s+|(?<=\))\s+(?=\()", text.strip()) if text.strip() else []:
        plain = part.strip().removeprefix("(").removesuffix(")").strip()
        match = re.fullmatch(r"([\w.\-]+)\s*(!=|=|:|eq|ne)\s*\"?([^\"\s]*)\"?", plain)
        if match is None:
            raise ApiError(
                400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
            )
        conditions.append((match[1], match[2], match[3]))
    return conditions


def holds(view: Json, name: str, operator: str, value: str) -> bool:
    found: Any = view
    for part in name.split(".", 1):
        found = found.get(part) if isinstance(found, dict) else None
    if operator == ":" and value == "*":
        return found is not None
    if operator == ":":
        return found is not None and value.strip("*").lower() in str(found).lower()
    return (str(found) == value) == (operator in ("=", "eq"))
