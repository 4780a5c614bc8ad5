"""`pipe runs`: what the journal knows of runs."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from swath.cli import units
from swath.cli.reading import here
from swath.cli.table import table
from swath.engine.journal import Journal, RunRow

FAILED = "failed"
FINISHED = ("done", "reused")


def open_journal() -> Journal:
    """The journal of the current folder's project. Reading makes none: without one there are no runs."""
    from swath.errors import StateError

    state = here().state
    if not (state / "journal.sqlite").is_file():
        raise StateError(f"there is no run yet in {state}", remedy="`pipe run SPEC` makes one")
    return Journal.open(state)


def list_runs(limit: int, *, as_json: bool) -> int:
    """Print a table of runs, newest first."""
    if not (here().state / "journal.sqlite").is_file():
        if as_json:
            print("[]")
        print(f"no runs yet in {here().state}", file=sys.stderr)
        return 0
    with open_journal() as journal:
        rows = [(row, _counts(journal, row)) for row in journal.runs(limit)]
    if as_json:
        print(json.dumps([_brief(row, counts) for row, counts in rows], ensure_ascii=False, indent=2))
        return 0
    head = ("RUN", "NAME", "PIPELINE", "STATUS", "STARTED", "TOOK", "CALLS", "FAILED")
    cells = [
        (
            row.id, row.name, row.pipeline, row.status, units.moment(row.started), _took(row),
            str(sum(counts[state] for state in FINISHED)), str(counts[FAILED]),
        )
        for row, counts in rows
    ]  # fmt: skip
    for line in table(head, cells, right=(5, 6, 7)):
        print(line)
    return 0


def show_run(run: str, *, as_json: bool) -> int:
    """Print one run in full."""
    with open_journal() as journal:
        row = journal.find(run)
        calls = list(journal.calls(row.id))
    counts = Counter(call.state for call in calls)
    failed = [call for call in calls if call.state == FAILED]
    if as_json:
        told = _brief(row, counts) | {
            "spec_text": row.spec_text,
            "overrides": list(row.overrides),
            "root": row.root,
            "host": row.host,
            "pid": row.pid,
            "git": row.git,
            "failed_calls": [{"node": c.node, "item": c.item, "error": c.error} for c in failed],
        }
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return 0
    for name, value in _facts(row, counts):
        print(f"{name:<9} {value}")
    for call in failed[:50]:
        item = "" if call.item is None else f"[{call.item}]"
        print(f"failed    {call.node}{item}: {units.printable(call.error).partition(chr(10))[0]}")
    if len(failed) > 50:
        print(f"          and {len(failed) - 50} more: --json lists them all")
    if row.status in ("interrupted", "terminated", "failed", "partial", "crashed"):
        print(f"go on with: pipe resume {row.id}", file=sys.stderr)
    return 0


def _facts(row: RunRow, counts: Counter[str]) -> list[tuple[str, str]]:
    ended = f", exit code {row.exit_code}" if row.exit_code is not None else ""
    facts = [
        ("run", row.id),
        ("pipeline", row.pipeline),
        ("spec", row.spec_path),
        *(("set", override) for override in row.overrides),
        ("status", f"{row.status}{ended}"),
        ("started", units.moment(row.started)),
        ("took", _took(row)),
        ("process", f"{row.pid} on {row.host}"),
        ("calls", ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"),
        *(("output", output) for output in row.outputs),
    ]
    if row.error:
        facts.append(("error", units.printable(row.error).replace("\n", "\n          ")))
    return facts


def _counts(journal: Journal, row: RunRow) -> Counter[str]:
    return Counter(journal.counts(row.id))


def _took(row: RunRow) -> str:
    if row.finished is not None:
        return units.duration(row.finished - row.started)
    return units.duration(time.time() - row.started) if row.status == "running" else "-"


def _brief(row: RunRow, counts: Counter[str]) -> dict[str, Any]:
    kept = {
        field.name: getattr(row, field.name)
        for field in dataclasses.fields(row)
        if field.name in ("id", "name", "pipeline", "spec_path", "status", "started", "finished", "exit_code", "error")
    }
    outputs = [str(Path(output)) if "://" not in output else output for output in row.outputs]
    calls = sum(counts[state] for state in FINISHED)
    return kept | {"outputs": outputs, "calls": calls, "reused": counts["reused"], "failed": counts[FAILED]}
