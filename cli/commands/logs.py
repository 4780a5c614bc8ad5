"""`pipe logs`: what a run said, and what its calls failed with."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator

from swath import units
from swath.cli import streams
from swath.cli.commands.runs import find_run, open_journal
from swath.cli.render.terminal_text import printable
from swath.cli.view.plain import call_name
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, LogRow
from swath.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
POLL_S = 0.5


def print_logs(run: str, node: str | None, level: str | None, *, failed: bool, follow: bool, as_json: bool) -> int:
    """Print a run's lines in the order in which they came; with `follow`, until it ends.

    With `failed`, call by call, those of calls that failed for good, each with its error and traceback at the end.
    """
    if level is not None and level not in LEVELS:
        raise UsageError(f"there is no level {level!r}", remedy=f"one of {', '.join(LEVELS)}")
    with open_journal() as journal:
        row = find_run(journal, run)
        lines = _Failed(journal, row.id, node, level) if failed else _All(journal, row.id, node, level)
        while True:
            # Asked before the lines are read: what was said between the last look and the end is then read too.
            going = follow and journal.find(row.id).status == "running"
            for line in lines.more():
                print(json.dumps(dataclasses.asdict(line), ensure_ascii=False) if as_json else text(line))
            sys.stdout.flush()
            if not going or streams.abandoned(sys.stdout):
                return 0
            time.sleep(POLL_S)


class _All:
    """All lines of a run that came since the last look."""

    def __init__(self, journal: Journal, run: str, node: str | None, level: str | None) -> None:
        self._journal = journal
        self._wanted = run, node, level
        self._after = 0

    def more(self) -> Iterator[LogRow]:
        for line in self._journal.logs(*self._wanted, after=self._after):
            self._after = line.id
            yield line


class _Failed:
    """The lines of calls that have failed since the last look."""

    def __init__(self, journal: Journal, run: str, node: str | None, level: str | None) -> None:
        self._journal = journal
        self._wanted = run, node, level
        self._told: set[tuple[str, int | None]] = set()

    def more(self) -> Iterator[LogRow]:
        run, node, _ = self._wanted
        calls = [call for call in self._journal.failures(run, node) if (call.node, call.item) not in self._told]
        if not calls:
            return
        said: dict[tuple[str, int | None], list[LogRow]] = {(call.node, call.item): [] for call in calls}
        for line in self._journal.logs(*self._wanted, failed=True):
            if (line.node, line.item) in said:
                said[line.node, line.item].append(line)
        for call in sorted(calls, key=lambda call: call.finished or 0.0):
            self._told.add((call.node, call.item))
            yield from said[call.node, call.item]
            yield _end(call)


def _end(call: CallRow) -> LogRow:
    """Where a call failed, as a line."""
    told = (call.traceback or call.error).rstrip()
    return LogRow(0, call.finished or 0.0, "error", told, call.node, call.item, call.worker)


def text(line: LogRow) -> str:
    """Such as `12:03:04 warning predict_region[3] worker-1: text`."""
    place = " ".join(part for part in (call_name(line.node, line.item) if line.node else "", line.worker) if part)
    said = printable(line.text).rstrip("\n").replace("\n", "\n  ")
    return f"{units.clock(line.time)} {line.level:<7} {place}{': ' if place else ''}{said}"
