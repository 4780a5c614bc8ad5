"""`pipe cancel`: stop a run from another terminal, or from another host that shares its state folder."""

from __future__ import annotations

import sys

from swath.cli.context import open_journal
from swath.runner.cancel import CancelLimits, cancel


def cancel_run(run: str, timeout_s: float, *, now: bool, reason: str = "") -> int:
    """Stop a run and wait until it has ended; with `now`, do not let it close its cluster."""
    with open_journal() as journal:
        row = cancel(
            journal,
            run,
            now=now,
            reason=reason,
            say=lambda text: print(text, file=sys.stderr),
            limits=CancelLimits(timeout_s),
        )
    print(f"{row.id} {row.status}; go on with: pipe resume {row.id}", file=sys.stderr)
    return 0
