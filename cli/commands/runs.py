"""`pipe runs`: the runs of a project as a table."""

from __future__ import annotations

import json
import sys

from swath import units
from swath.cli.context import here, open_journal
from swath.cli.render.columns import table
from swath.cli.render.run_fields import run_fields, run_time, status_text


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
            run_time(row.seconds), str(fields["calls"]), str(fields["failed"]),
        )
        for row, fields in rows
    ]  # fmt: skip
    for line in table(head, cells, right=(5, 6, 7)):
        print(line)
    return 0
