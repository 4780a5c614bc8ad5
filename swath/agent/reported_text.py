"""Log lines and outputs of a run in the form in which the server takes them: its limits of sizes, and no NUL."""

from __future__ import annotations

from collections.abc import Sequence

from swath.engine.journal_rows import LogRow
from swath.protocol.messages import MAX_TEXT, Line


def first_batch(rows: Sequence[LogRow], first: int, most_bytes: int) -> tuple[Line, ...]:
    """As many of the first rows as fit into one request, at least one. first: the server's id of the first of them."""
    lines: list[Line] = []
    size = 0
    for number, row in enumerate(rows, first):
        line = _line(number, row)
        size += len(line.model_dump_json())
        if lines and size > most_bytes:
            break
        lines.append(line)
    return tuple(lines)


def _line(number: int, row: LogRow) -> Line:
    """A line of the journal for the server, which may refuse what is longer."""
    return Line.model_validate(
        {
            "id": number, "time": row.time, "level": row.level, "node": plain(row.node)[:1000], "item": row.item,
            "worker": plain(row.worker)[:1000], "text": plain(row.text)[:MAX_TEXT],
        }
    )  # fmt: skip


def plain(text: str) -> str:
    """Without NUL, which PostgreSQL does not store."""
    return text.replace("\0", "\ufffd")


def few(outputs: Sequence[str]) -> tuple[str, ...]:
    return tuple(output[:4096] for output in outputs[:1000])
