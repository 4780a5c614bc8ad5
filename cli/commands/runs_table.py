"""`pipe runs table`: the variants of a matrix with their states, numbers and outputs."""

from __future__ import annotations

import json
import sys

from swath.cli.context import find_run, here, open_journal
from swath.cli.render.variant_rows import to_csv, to_lines
from swath.errors import UsageError


def print_table(run: str, *, as_json: bool, as_csv: bool) -> int:
    """Print the table of a run, also while it is running and after a crash."""
    from swath.engine.store import ResultStore
    from swath.runner.variant_table import VariantTable

    if as_json and as_csv:
        raise UsageError("--json and --csv are two ways to print: give one")
    project = here()
    with open_journal() as journal:
        row = find_run(journal, run)
        found = VariantTable.read(project.state / "runs" / row.id)
        if found is None:
            raise UsageError(f"{row.id} is not the run of a matrix", remedy=f"`pipe runs show {row.id}` shows it")
        if not found.final or row.status in ("running", "crashed"):
            store = ResultStore(project.results or str(project.state / "results"))
            found = found.updated(journal, store, row.id, ended=row.status != "running")
    rows = found.plain()
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif as_csv:
        sys.stdout.write(to_csv(rows))
    else:
        for line in to_lines(rows):
            print(line)
    return 0
