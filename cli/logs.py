"""`pipe logs`: what a run said."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

from swath.cli import units
from swath.cli.history import open_journal
from swath.cli.view.plain import call_name
from swath.engine.journal import LogRow
from swath.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
POLL_S = 0.5


def print_logs(run: str, node: str | None, level: str | None, *, follow: bool, as_json: bool) -> int:
    """Print a run's lines in the order in which they came; with `follow`, until it ends."""
    if level is not None and level not in LEVELS:
        raise UsageError(f"there is no level {level!r}", remedy=f"one of {', '.join(LEVELS)}")
    with open_journal() as journal:
        row = journal.find(run)
        after = 0
        while True:
            going = follow and journal.find(row.id).status == "running"
            for line in journal.logs(row.id, node, level, after):
                after = line.id
                print(json.dumps(dataclasses.asdict(line), ensure_ascii=False) if as_json else text(line))
            sys.stdout.flush()
            if not going:
                return 0
            time.sleep(POLL_S)


def text(line: LogRow) -> str:
    """Such as `12:03:04 warning predict_block[3] worker-1: text`."""
    place = " ".join(part for part in (call_name(line.node, line.item) if line.node else "", line.worker) if part)
    said = units.printable(line.text).rstrip("\n").replace("\n", "\n  ")
    return f"{units.clock(line.time)} {line.level:<7} {place}{': ' if place else ''}{said}"
