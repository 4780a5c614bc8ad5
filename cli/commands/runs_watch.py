"""`pipe runs --watch`: the newest runs, printed again when they change."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO, cast

from swath import units
from swath.cli import streams
from swath.cli.context import here
from swath.cli.render.columns import table
from swath.cli.render.run_fields import run_fields, run_time, status_text
from swath.cli.render.terminal_text import printable
from swath.engine.journal import Journal

POLL_S = 1.0
"""Time between two reads of the journal."""


def watch_runs(limit: int, *, as_json: bool) -> int:
    """Until Ctrl-C: on a terminal a table that is updated in place, elsewhere a line for each run that changed."""
    state = here().state
    print(f"watching {state}; Ctrl-C ends it", file=sys.stderr)
    try:
        if sys.stdout.isatty() and not as_json:
            _table(limit)
        else:
            _lines(limit, as_json=as_json)
    except KeyboardInterrupt:
        pass
    return 0


def _rows(limit: int) -> list[dict[str, Any]]:
    """Runs as in `pipe runs --json`, newest first; none while there is no journal."""
    state = here().state
    if not (state / "journal.sqlite").is_file():
        return []
    with Journal.open(state) as journal:
        return [run_fields(row, journal) for row in journal.runs(limit)]


def _lines(limit: int, *, as_json: bool) -> None:
    printed: dict[str, tuple[Any, ...]] = {}
    while not streams.abandoned(sys.stdout):
        for row in reversed(_rows(limit)):
            now = (row["status"], bool(row["silent_s"]), row["calls"], row["failed"])
            if printed.get(row["id"]) != now:
                printed[row["id"]] = now
                print(json.dumps(row, ensure_ascii=False) if as_json else _line(row), flush=True)
        time.sleep(POLL_S)


def _line(row: dict[str, Any]) -> str:
    failed = f", {row['failed']} failed" if row["failed"] else ""
    return f"{units.clock(time.time())} {row['id']} {status_text(row['status'], row['silent_s'])}: {row['calls']} calls{failed}"


def _table(limit: int) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=cast(TextIO, streams.Terminal(sys.stdout)))
    with Live(console=console, screen=False, auto_refresh=False, transient=False) as live:
        while True:
            rows = _rows(limit)
            lines = table(
                ("RUN", "STATUS", "TOOK", "CALLS", "FAILED"),
                [
                    (
                        r["id"],
                        status_text(r["status"], r["silent_s"]),
                        run_time(r["seconds"]),
                        str(r["calls"]),
                        str(r["failed"]),
                    )
                    for r in rows
                ],
                right=(2, 3, 4),
            )
            shown = lines[: max(2, live.console.size.height - 1)] if rows else ["no runs yet"]
            live.update(Text(printable("\n".join(shown)), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(POLL_S)
