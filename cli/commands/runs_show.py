"""`pipe runs show`: one run in full."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from swath import units
from swath.cli.context import find_run, open_journal
from swath.cli.render.run_fields import FAILED, commit_words, run_fields, run_time, status_text
from swath.cli.render.terminal_text import printable
from swath.cli.view.event_text import call_name
from swath.engine.journal_rows import MACHINES, CallRow, RunRow
from swath.project.provenance import Reproduction, reproduction


def show_run(run: str, *, as_json: bool) -> int:
    """Print one run in full."""
    with open_journal() as journal:
        row = find_run(journal, run)
        fields = run_fields(row, journal)
        counts = Counter(journal.counts(row.id))
        failed = [call for call in journal.calls(row.id) if call.state == FAILED]
        folder = journal.folder / "runs" / row.id
    again = reproduction(
        row.spec_path, row.overrides, row.git, Path(row.root), folder, start=Path.cwd(), fresh=row.fresh
    )
    if as_json:
        fields |= {
            "spec_text": row.spec_text,
            "overrides": list(row.overrides),
            "root": row.root,
            "host": row.host,
            "pid": row.pid,
            "git": row.git,
            "machines": row.facts.get(MACHINES, []),
            "again": again.line,
            "again_caveat": again.caveat,
            "failed_calls": [{"node": c.node, "item": c.item, "error": c.error} for c in failed],
        }
        print(json.dumps(fields, ensure_ascii=False, indent=2))
        return 0
    for name, value in _facts(row, counts, again):
        print(f"{name:<9} {value}")
    failed = [call for call in failed if _line(call) != row.error.partition("\n")[0]]  # the error is printed already
    for call in failed[:50]:
        print(f"failed    {printable(_line(call))}")
    if len(failed) > 50:
        print(f"          and {len(failed) - 50} more: --json lists them all")
    if row.status in ("interrupted", "terminated", "failed", "partial", "crashed", "timed out", "over budget"):
        print(f"go on with: pipe resume {row.id}", file=sys.stderr)
    return 0


def _line(call: CallRow) -> str:
    """A failed call and the first line of its error."""
    return f"{call_name(call.node, call.item)}: {call.error}".partition("\n")[0]


def _facts(row: RunRow, counts: Counter[str], again: Reproduction) -> list[tuple[str, str]]:
    ended = f", exit code {row.exit_code}" if row.exit_code is not None else ""
    facts = [
        ("run", row.id),
        ("pipeline", row.pipeline),
        ("spec", row.spec_path),
        *(("set", override) for override in row.overrides),
        ("status", f"{status_text(row.status, row.silent_s)}{ended}"),
        ("started", units.local_time(row.started)),
        (
            "took",
            run_time(row.seconds)
            + (f", and {units.duration(row.paused_s)} between its sessions" if row.paused_s else ""),
        ),
        ("process", f"{row.pid} on {row.host}"),
        ("calls", ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"),
        *(("machines", printable(str(each))) for each in row.facts.get(MACHINES, ())),
        *(("output", output) for output in row.outputs),
        ("commit", commit_words(row.git)),
        ("again", again.line),
    ]
    if again.caveat:
        facts.append(("", f"may differ: {again.caveat}"))
    if row.error:
        facts.append(("error", printable(row.error).replace("\n", "\n          ")))
    return facts
