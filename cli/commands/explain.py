"""`pipe run --explain`: what a run would make and what it would not, and why. It starts nothing."""

from __future__ import annotations

import json
from pathlib import Path

from swath.cli import streams
from swath.cli.render.columns import table
from swath.cli.render.terminal_text import printable


def explain_spec(
    spec: Path, sets: list[str], cluster: str | None, ref: str | None, patch: Path | None, *, fresh: bool, as_json: bool
) -> int:
    """Print a line for each node."""
    from swath.cli.context import read_commit, read_spec
    from swath.runner import runner

    with streams.data_only() as out:
        if ref is None:
            read = read_spec(spec, sets, cluster)
            reasons = runner.explain(read.loaded, read.project, read.registry, fresh=fresh)
        else:
            with read_commit(spec, sets, cluster, ref, patch) as read:
                reasons = runner.explain(read.loaded, read.project, read.registry, fresh=fresh)
        if as_json:
            out.write(json.dumps([reason.to_plain() for reason in reasons], indent=2, ensure_ascii=False) + "\n")
            return 0
        cells = [
            (
                reason.node, reason.state, str(reason.finished or "-"), str(reason.runs or "-"), str(reason.waits or "-"),
                printable(reason.why).partition("\n")[0],
            )
            for reason in reasons
        ]  # fmt: skip
        out.writelines(
            f"{line}\n" for line in table(("NODE", "STATE", "DONE", "TO DO", "UNKNOWN", "WHY"), cells, right=(2, 3, 4))
        )
    return 0
