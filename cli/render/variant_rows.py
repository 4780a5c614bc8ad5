"""The variants of a matrix as a table for people and as CSV: a row each with its values, state, calls, numbers and output."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from swath import units
from swath.cli.render.columns import table
from swath.cli.render.terminal_text import printable

LONGEST = 40
"""Characters of one value of the spec in the table."""


def to_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table: the values of each variant, its state, counts of calls, numbers, and its output or its error."""
    fields, numbers = _names(rows, "values"), _names(rows, "numbers")
    counts = ("made", "reused", "failed")
    head = [*(name.upper() for name in fields), "STATE", *(name.upper() for name in counts), "TIME", *numbers, "OUTPUT"]
    cells = [
        [
            *(_value(row["values"].get(name, "")) for name in fields), _state(row), *(str(row[name]) for name in counts),
            units.duration(row["seconds"]), *(_number(row["numbers"].get(name, "")) for name in numbers), _output(row),
        ]
        for row in rows
    ]  # fmt: skip
    first = len(fields) + 1
    return table(head, cells, right=range(first, first + len(counts) + 1 + len(numbers)))


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV with every column: texts as they are, other values of the spec as JSON."""
    fields, numbers = _names(rows, "values"), _names(rows, "numbers")
    plain = ("state", "best", "made", "reused", "failed", "seconds")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", *fields, *plain, *numbers, "folder", "error"])
    for row in rows:
        values = [row["values"].get(name, "") for name in fields]
        writer.writerow([
            row["variant"], *(v if isinstance(v, str) else json.dumps(v) for v in values), *(row[name] for name in plain),
            *(row["numbers"].get(name, "") for name in numbers), row["folder"], row["error"],
        ])  # fmt: skip
    return out.getvalue()


def _state(row: Mapping[str, Any]) -> str:
    return f"{row['state']}, best" if row.get("best") else str(row["state"])


def _names(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row[key]))


def _value(value: Any) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).replace("\n", " ")
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return units.number(value) if isinstance(value, (int, float)) else str(value)


def _output(row: Mapping[str, Any]) -> str:
    """Where the variant's output is, or the first line of its error."""
    if row["error"]:
        return printable(row["error"]).partition("\n")[0]
    return str(row["folder"] or ("" if row["numbers"] else ", ".join(row["outputs"])))
