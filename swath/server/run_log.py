"""Log lines as people read them: the newest first asked for, before or after a line, of a level, of a node, with a text."""

from __future__ import annotations

from dataclasses import dataclass

from swath.protocol.messages import Line
from swath.server.database.database import Database
from swath.server.runs import containing

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted."""

    level: str = "debug"
    """The least one."""
    node: str = ""
    find: str = ""
    """Part of the text, in any case of its letters."""


@dataclass(frozen=True)
class LogView:
    """Some lines of a log, in their order."""

    lines: tuple[Line, ...]
    total: int
    """Of the whole run, without the filter."""
    earlier: bool
    """Whether there are wanted lines before these."""
    later: bool


class RunLog:
    """Reads lines of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def view(
        self, run: str, wanted: LogFilter, *, before: int | None = None, after: int | None = None, limit: int = 500
    ) -> LogView:
        """The last lines before one of them, or the first ones after one; without both the last ones of all."""
        where, values = self._condition(run, wanted, self._database.contains)
        forward = after is not None
        if forward:
            where, values = f"{where} AND id > ?", [*values, after or 0]
        elif before is not None:
            where, values = f"{where} AND id < ?", [*values, before]
        with self._database.reading() as db:
            total = db.execute("SELECT next_line FROM runs WHERE id = ?", (run,))[0]["next_line"] - 1
            rows = db.execute(
                f"SELECT id, time, level, node, item, worker, text FROM lines WHERE {where}"
                f" ORDER BY id {'ASC' if forward else 'DESC'} LIMIT ?",
                (*values, limit + 1),
            )
        more, rows = len(rows) > limit, rows[:limit]
        lines = tuple(Line(**row) for row in (rows if forward else rows[::-1]))
        return LogView(lines, total, more if not forward else bool(after), more if forward else before is not None)

    @staticmethod
    def _condition(run: str, wanted: LogFilter, contains: str) -> tuple[str, list[str | int]]:
        parts, values = ["run = ?"], [run]
        levels = LEVELS[LEVELS.index(wanted.level) :]
        if len(levels) < len(LEVELS):
            parts.append(f"level IN ({', '.join('?' * len(levels))})")
            values += levels
        if wanted.node:
            parts.append("node = ?")
            values.append(wanted.node)
        if wanted.find:
            parts.append(f"text {contains}")
            values.append(containing(wanted.find))
        return " AND ".join(parts), [*values]
