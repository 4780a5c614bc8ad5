"""A run of the journal as plain fields for JSON, and as texts for tables."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath import units

if TYPE_CHECKING:
    from swath.engine.journal import Journal
    from swath.engine.journal_rows import RunRow

FAILED = "failed"
FINISHED = ("done", "reused")


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
        | {"seconds": row.seconds, "silent_s": round(row.silent_s), "outputs": outputs}
        | {"calls": calls, "reused": counts["reused"], "failed": counts[FAILED]}
    )


def status_text(status: str, silent_s: float) -> str:
    """A run's status, and for how long its process has written no heartbeat when that is suspicious (silent_s > 0)."""
    return f"{status}, silent for {units.duration(silent_s)}" if silent_s else status


def run_time(seconds: float | None) -> str:
    """How long a run took, or has been running; `-` of one whose end is not known."""
    return "-" if seconds is None else units.duration(seconds)


def commit_words(git: Mapping[str, Any]) -> str:
    """A run's commit and branch, and whether it had uncommitted changes, in a few words."""
    if git.get("refused"):
        return f"not recorded: {git['refused']}"
    if not git.get("commit"):
        return "not under version control"
    more = [f"branch {git['branch']}"] if git.get("branch") else []
    more += [f"taken from {git['ref']}"] if git.get("ref") else []
    more += ["with uncommitted changes"] if git.get("dirty") else []
    return ", ".join([str(git["commit"])[:12], *more])
