"""`pipe logs`: log lines of a run, and the errors of its calls."""

from __future__ import annotations

import codecs
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from swath import units
from swath.cli import streams
from swath.cli.commands.detach import OUTPUT, OUTPUT_PID
from swath.cli.context import find_run, open_journal
from swath.cli.render.terminal_text import printable
from swath.cli.view.event_text import call_name
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, LogRow, RunRow
from swath.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
LAST_LINES_S = 5.0
"""How long a run's process may go on after the run's end in the journal, to print its last lines."""
POLL_S = 0.5
"""Time between two reads of the journal while following a run."""


def print_logs(run: str, node: str | None, level: str | None, *, failed: bool, follow: bool, as_json: bool) -> int:
    """Print a run's log lines in order of time; with `follow`, until it ends. Of a detached run that is what it prints, when
    nothing else is asked for.

    With `failed`, the lines of calls that failed for good, call by call, each with its error and traceback at the end.
    """
    if level is not None and level not in LEVELS:
        raise UsageError(f"there is no level {level!r}", remedy=f"one of {', '.join(LEVELS)}")
    with open_journal() as journal:
        row = find_run(journal, run)
        if follow and not (node or level or failed or as_json) and (output := _output(journal, row)) is not None:
            return _follow_output(journal, row, output)
        reader = (_FailedCalls if failed else _AllLines)(journal, row.id, node, level)
        while True:
            # Asked before the lines are read, so that those written just before the end are read too.
            running = follow and journal.find(row.id).status == "running"
            for line in reader.read_new():
                print(json.dumps(dataclasses.asdict(line), ensure_ascii=False) if as_json else format_line(line))
            sys.stdout.flush()
            if not running or streams.abandoned(sys.stdout):
                return 0
            time.sleep(POLL_S)


def _output(journal: Journal, row: RunRow) -> Path | None:
    """The file that has what the run prints; None when its process was not started with --detach."""
    folder = journal.folder / "runs" / row.id
    try:
        detached = (folder / OUTPUT_PID).read_text() == str(row.pid)
    except OSError:
        return None
    return folder / OUTPUT if detached and (folder / OUTPUT).is_file() else None


def _follow_output(journal: Journal, row: RunRow, output: Path) -> int:
    """Print what a detached run printed, and prints until its process ends: what its terminal would show."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    deadline: float | None = None
    with output.open("rb") as file:
        while True:
            # Asked before the lines are read, so that those written just before the end are read too.
            if deadline is None and journal.find(row.id).status != "running":
                deadline = time.monotonic() + LAST_LINES_S
            over = deadline is not None and (row.process.gone() or time.monotonic() > deadline)
            sys.stdout.write(decode(file.read()))
            sys.stdout.flush()
            if over or streams.abandoned(sys.stdout):
                return 0
            time.sleep(POLL_S)


class _AllLines:
    """All lines of a run, from where the last read ended."""

    def __init__(self, journal: Journal, run: str, node: str | None, level: str | None) -> None:
        self._journal = journal
        self._wanted = run, node, level
        self._after = 0

    def read_new(self) -> Iterator[LogRow]:
        for line in self._journal.logs(*self._wanted, after=self._after):
            self._after = line.id
            yield line


class _FailedCalls:
    """The lines of calls that have failed since the last read."""

    def __init__(self, journal: Journal, run: str, node: str | None, level: str | None) -> None:
        self._journal = journal
        self._wanted = run, node, level
        self._printed: set[tuple[str, int | None]] = set()

    def read_new(self) -> Iterator[LogRow]:
        run, node, _ = self._wanted
        calls = [call for call in self._journal.failures(run, node) if (call.node, call.item) not in self._printed]
        if not calls:
            return
        lines: dict[tuple[str, int | None], list[LogRow]] = {(call.node, call.item): [] for call in calls}
        for line in self._journal.logs(*self._wanted, failed=True):
            if (line.node, line.item) in lines:
                lines[line.node, line.item].append(line)
        for call in sorted(calls, key=lambda call: call.finished or 0.0):
            self._printed.add((call.node, call.item))
            said = f"failed for good: {call.error}"  # the traceback ends with it
            yield from (line for line in lines[call.node, call.item] if not (call.traceback and line.text == said))
            yield _error_line(call)


def _error_line(call: CallRow) -> LogRow:
    """A failed call's traceback, or its error, as a log line."""
    text = (call.traceback or call.error).rstrip()
    return LogRow(0, call.finished or 0.0, "error", text, call.node, call.item, call.worker)


def format_line(line: LogRow) -> str:
    """Such as `12:03:04 warning predict_region[3] worker-1: text`."""
    place = " ".join(part for part in (call_name(line.node, line.item) if line.node else "", line.worker) if part)
    text = printable(line.text).rstrip("\n").replace("\n", "\n  ")
    return f"{units.clock(line.time)} {line.level:<7} {place}{': ' if place else ''}{text}"
