"""`pipe runs --watch`: the newest runs, shown again whenever something of them changes."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from swath import units
from swath.cli import streams
from swath.cli.commands import runs
from swath.cli.context import here
from swath.cli.render.columns import table
from swath.engine.journal import Journal

POLL_S = 1.0


def watch_runs(limit: int, *, as_json: bool) -> int:
    """Until Ctrl-C: a table that is kept up to date on a terminal, elsewhere a line for each run that changed."""
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
    """What `pipe runs --json` says, newest first; nothing while there is no journal."""
    state = here().state
    if not (state / "journal.sqlite").is_file():
        return []
    with Journal.open(state) as journal:
        return [runs.brief(row, journal) for row in journal.runs(limit)]


def _lines(limit: int, *, as_json: bool) -> None:
    told: dict[str, tuple[Any, ...]] = {}
    while not streams.abandoned(sys.stdout):
        for row in reversed(_rows(limit)):
            now = (row["status"], bool(row["silent_s"]), row["calls"], row["failed"])
            if told.get(row["id"]) != now:
                told[row["id"]] = now
                print(json.dumps(row, ensure_ascii=False) if as_json else _line(row), flush=True)
        time.sleep(POLL_S)


def _line(row: dict[str, Any]) -> str:
    failed = f", {row['failed']} failed" if row["failed"] else ""
    return f"{units.clock(time.time())} {row['id']} {_status(row)}: {row['calls']} calls{failed}"


def _status(row: dict[str, Any]) -> str:
    silent = row["silent_s"]
    return f"{row['status']}, silent for {units.duration(silent)}" if silent else str(row["status"])


def _table(limit: int) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(screen=False, auto_refresh=False, transient=False) as live:
        while True:
            rows = _rows(limit)
            lines = table(
                ("RUN", "STATUS", "TOOK", "CALLS", "FAILED"),
                [(r["id"], _status(r), _took(r), str(r["calls"]), str(r["failed"])) for r in rows],
                right=(2, 3, 4),
            )
            shown = lines[: max(2, live.console.size.height - 1)] if rows else ["no runs yet"]
            live.update(Text("\n".join(shown), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(POLL_S)


def _took(row: dict[str, Any]) -> str:
    if row["finished"] is not None:
        return units.duration(row["finished"] - row["started"])
    return units.duration(time.time() - row["started"]) if row["status"] == "running" else "-"
