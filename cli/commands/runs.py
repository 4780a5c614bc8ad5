"""`pipe runs` and `pipe runs show`: the runs of a project as a table, and one run in full."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swath import units
from swath.cli.context import here
from swath.cli.render.columns import table
from swath.cli.render.terminal_text import printable
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.errors import StateError
from swath.project.provenance import Reproduction, reproduction

FAILED = "failed"
FINISHED = ("done", "reused")


def open_journal() -> Journal:
    """The journal of the current folder's project. Raises StateError when there is none: reading creates no journal."""
    state = here().state
    if not (state / "journal.sqlite").is_file():
        raise StateError(f"there is no run yet in {state}", remedy="`pipe run SPEC` makes one")
    return Journal.open(state)


def find_run(journal: Journal, run: str) -> RunRow:
    """A run by its id, the start of its id, `last`, or `last~N` for the Nth before the last. Raises StateError."""
    back = re.fullmatch(r"last~(\d{1,9})", run)
    if back is None:
        return journal.find(run)
    rows = journal.runs(int(back[1]) + 1)
    if len(rows) <= int(back[1]):
        count = "is 1 run" if len(rows) == 1 else f"are {len(rows)} runs"
        raise StateError(f"there {count}, so there is no {run}", remedy="`pipe runs` lists the runs")
    return rows[-1]


def list_runs(limit: int, *, as_json: bool) -> int:
    """Print a table of runs, newest first."""
    if not (here().state / "journal.sqlite").is_file():
        if as_json:
            print("[]")
        print(f"no runs yet in {here().state}", file=sys.stderr)
        return 0
    with open_journal() as journal:
        rows = [(row, run_fields(row, journal)) for row in journal.runs(limit)]
    if as_json:
        print(json.dumps([fields for _, fields in rows], ensure_ascii=False, indent=2))
        return 0
    head = ("RUN", "NAME", "PIPELINE", "STATUS", "STARTED", "TOOK", "CALLS", "FAILED")
    cells = [
        (
            row.id, row.name, row.pipeline, status_text(row.status, row.silent_s), units.local_time(row.started),
            run_time(row.status, row.started, row.finished), str(fields["calls"]), str(fields["failed"]),
        )
        for row, fields in rows
    ]  # fmt: skip
    for line in table(head, cells, right=(5, 6, 7)):
        print(line)
    return 0


def show_run(run: str, *, as_json: bool) -> int:
    """Print one run in full."""
    with open_journal() as journal:
        row = find_run(journal, run)
        fields = run_fields(row, journal)
        counts = Counter(journal.counts(row.id))
        failed = [call for call in journal.calls(row.id) if call.state == FAILED]
        folder = journal.folder / "runs" / row.id
    again = reproduction(row.spec_path, row.overrides, row.git, Path(row.root), folder, start=Path.cwd())
    if as_json:
        fields |= {
            "spec_text": row.spec_text,
            "overrides": list(row.overrides),
            "root": row.root,
            "host": row.host,
            "pid": row.pid,
            "git": row.git,
            "again": again.line,
            "again_caveat": again.caveat,
            "failed_calls": [{"node": c.node, "item": c.item, "error": c.error} for c in failed],
        }
        print(json.dumps(fields, ensure_ascii=False, indent=2))
        return 0
    for name, value in _facts(row, counts, again):
        print(f"{name:<9} {value}")
    for call in failed[:50]:
        item = "" if call.item is None else f"[{call.item}]"
        print(f"failed    {call.node}{item}: {printable(call.error).partition(chr(10))[0]}")
    if len(failed) > 50:
        print(f"          and {len(failed) - 50} more: --json lists them all")
    if row.status in ("interrupted", "terminated", "failed", "partial", "crashed", "timed out", "over budget"):
        print(f"go on with: pipe resume {row.id}", file=sys.stderr)
    return 0


def status_text(status: str, silent_s: float) -> str:
    """A run's status, and for how long its process has written no heartbeat when that is suspicious (silent_s > 0)."""
    return f"{status}, silent for {units.duration(silent_s)}" if silent_s else status


def run_time(status: str, started: float, finished: float | None) -> str:
    """How long a run took, or has been running; `-` of one whose end is not known. Times are seconds since the epoch."""
    if finished is None and status != "running":
        return "-"
    return units.duration((time.time() if finished is None else finished) - started)


def _facts(row: RunRow, counts: Counter[str], again: Reproduction) -> list[tuple[str, str]]:
    ended = f", exit code {row.exit_code}" if row.exit_code is not None else ""
    facts = [
        ("run", row.id),
        ("pipeline", row.pipeline),
        ("spec", row.spec_path),
        *(("set", override) for override in row.overrides),
        ("status", f"{status_text(row.status, row.silent_s)}{ended}"),
        ("started", units.local_time(row.started)),
        ("took", run_time(row.status, row.started, row.finished)),
        ("process", f"{row.pid} on {row.host}"),
        ("calls", ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"),
        *(("output", output) for output in row.outputs),
        ("commit", commit_words(row.git)),
        ("again", again.line),
    ]
    if again.caveat:
        facts.append(("", f"may differ: {again.caveat}"))
    if row.error:
        facts.append(("error", printable(row.error).replace("\n", "\n          ")))
    return facts


def commit_words(git: Mapping[str, Any]) -> str:
    """A run's commit and branch, and whether it had uncommitted changes, in a few words."""
    if not git.get("commit"):
        return "not under version control"
    more = [f"branch {git['branch']}"] if git.get("branch") else []
    more += [f"taken from {git['ref']}"] if git.get("ref") else []
    more += ["with uncommitted changes"] if git.get("dirty") else []
    return ", ".join([str(git["commit"])[:12], *more])


def run_fields(row: RunRow, journal: Journal) -> dict[str, Any]:
    """A run for JSON, without its spec and the errors of its calls."""
    counts = Counter(journal.counts(row.id))
    columns = {
        field.name: getattr(row, field.name)
        for field in dataclasses.fields(row)
        if field.name in ("id", "name", "pipeline", "spec_path", "status", "started", "finished", "exit_code", "error")
    }
    outputs = [str(Path(output)) if "://" not in output else output for output in row.outputs]
    calls = sum(counts[state] for state in FINISHED)
    return (
        columns
        | {"silent_s": round(row.silent_s), "outputs": outputs}
        | {"calls": calls, "reused": counts["reused"], "failed": counts[FAILED]}
    )
