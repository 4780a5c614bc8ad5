"""`pipe run --explain`: which calls a run would make and which not, and why. Nothing is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from swath.cli import streams
from swath.cli.render.columns import table
from swath.cli.render.terminal_text import printable

if TYPE_CHECKING:
    from swath.engine.explain import NodeExplanation


def explain_spec(
    spec: Path,
    sets: list[str],
    cluster: str | None,
    ref: str | None,
    patch: Path | None,
    allow_env: list[str],
    *,
    fresh: bool,
    as_json: bool,
) -> int:
    """Print a line for each node; with `as_json`, a list of objects."""
    from swath.runner.load import load, load_commit
    from swath.runner.plan import explain

    with streams.data_only() as out:
        if ref is None:
            reasons = explain(load(spec, sets, cluster, trust=False, allow_env=allow_env), fresh=fresh)
        else:
            with load_commit(spec, ref, sets, cluster, patch, trust=False, allow_env=allow_env) as job:
                reasons = explain(job, fresh=fresh)
        if as_json:
            out.write(json.dumps([reason.to_plain() for reason in reasons], indent=2, ensure_ascii=False) + "\n")
        else:
            out.writelines(f"{line}\n" for line in _lines(reasons))
    return 0


def _lines(reasons: list[NodeExplanation]) -> list[str]:
    cells = [
        (
            reason.node, reason.state, str(reason.finished or "-"), str(reason.runs or "-"), str(reason.waits or "-"),
            printable(reason.why).partition("\n")[0],
        )
        for reason in reasons
    ]  # fmt: skip
    return table(("NODE", "STATE", "DONE", "TO DO", "UNKNOWN", "WHY"), cells, right=(2, 3, 4))
