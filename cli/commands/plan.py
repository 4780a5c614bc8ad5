"""`pipe plan`: what a run would read, compute, write and cost. Nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swath.cli import streams
from swath.cli.render.columns import table


def plan_spec(spec: Path, sets: list[str], cluster: str | None, allow_env: list[str], *, as_json: bool) -> int:
    """Print the plan of a spec; of a matrix also a table of what the plans of its variants differ in."""
    from swath.runner.load import load
    from swath.runner.matrix import EACH
    from swath.runner.plan import plan
    from swath.spec.secrets import scrub

    job = load(spec, sets, cluster, trust=False, allow_env=allow_env)
    with streams.data_only() as out:
        found = plan(job)
        if as_json:
            out.write(scrub(found.to_json(), job.secrets) + "\n")
            return 0
        widest = max((len(name) for name, _ in found.facts), default=0)
        for name, value in found.facts:
            out.write(scrub(f"{name:<{widest}}  {value}\n", job.secrets))
        for line in _variants(found.values.get(EACH, {})):
            out.write(scrub(f"{line}\n", job.secrets))
    return 0


def _variants(plans: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row for each variant, with the values that not all have in common."""
    names = dict.fromkeys(name for plan in plans.values() for name in plan)
    differing = [name for name in names if len({str(plan.get(name)) for plan in plans.values()}) > 1]
    if not differing:
        return []
    cells = [[variant, *(str(plan.get(name, "")) for name in differing)] for variant, plan in plans.items()]
    return ["", *table(["VARIANT", *(name.upper() for name in differing)], cells)]
