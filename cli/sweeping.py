"""`pipe sweep`: what crashed runs left behind, listed or removed."""

from __future__ import annotations

import json
import sys

from swath.cli import units
from swath.cli.reading import here
from swath.cli.table import table
from swath.report import size


def sweep(*, remove: bool, as_json: bool) -> int:
    """Print what is left; remove it when asked to. Raises TeardownError when something stays."""
    state = here().state
    if not (state / "journal.sqlite").is_file():
        if as_json:
            print("[]")
        print("nothing is left: there are no runs here", file=sys.stderr)
        return 0
    from swath.cluster import sweep as sweeper
    from swath.engine.journal import Journal
    from swath.errors import TeardownError

    with Journal.open(state) as journal:
        found = sweeper.find(journal)
        stays: list[str] = []
        gone: set[str] = set()
        for leftover in found if remove else ():
            try:
                sweeper.remove(journal, leftover)
                gone.add(leftover.lease.id)
            except TeardownError as error:
                stays.append(error.message)
    if as_json:
        rows = [
            {
                "kind": left.lease.kind, "id": left.lease.id, "run": left.lease.run, "status": left.status,
                "made": left.lease.made, "bytes": left.size, "removed": left.lease.id in gone,
            }
            for left in found
        ]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif found:
        cells = [
            (
                left.lease.kind,
                left.lease.id,
                left.lease.run,
                left.status,
                units.moment(left.lease.made),
                size(left.size),
            )
            for left in found
        ]
        for line in table(("KIND", "WHAT", "RUN", "STATUS", "MADE", "SIZE"), cells, right=(5,)):
            print(line)
    if stays:
        raise TeardownError("\n".join(stays), remedy="remove what is named by hand, then `pipe sweep --yes` again")
    if not found:
        print("nothing is left", file=sys.stderr)
    elif remove:
        print(f"removed {len(gone)}", file=sys.stderr)
    else:
        print("`pipe sweep --yes` removes it", file=sys.stderr)
    return 0
