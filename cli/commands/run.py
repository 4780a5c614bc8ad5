"""`pipe run`, `pipe resume` and `pipe plan`: hand a spec to the runner and show what happens."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from swath.cli import streams
from swath.cli.render.columns import table

if TYPE_CHECKING:
    from swath.cli.context import SpecContext
    from swath.events import Listener
    from swath.runner.runner import RunOutcome


def run_spec(
    spec: Path,
    sets: list[str],
    cluster: str | None,
    *,
    as_json: bool,
    fresh: bool,
    ref: str | None = None,
    patch: Path | None = None,
    timeout: str | None = None,
    detach: bool = False,
    identity: str | None = None,
) -> int:
    """Run a spec, as it is or as of a commit. Paths of what was published go to stdout, or with `as_json` every event."""
    from swath.cli.context import read_commit, read_spec
    from swath.errors import UsageError

    how = _How(fresh, None, _seconds(timeout), detach, identity)
    if ref is not None:
        with read_commit(spec, sets, cluster, ref, patch) as read:
            return _go(read, how, as_json=as_json)
    if patch is not None:
        raise UsageError("--patch goes onto a commit", remedy="name the commit with --ref")
    return _go(read_spec(spec, sets, cluster), how, as_json=as_json)


def resume_run(run: str, *, as_json: bool, timeout: str | None = None, detach: bool = False) -> int:
    """Go on with a run of the journal, from the text of its spec that the journal kept."""
    from swath.cli.context import here, read_run
    from swath.engine.journal import Journal

    state = here().state
    with Journal.open(state) as journal:
        row = journal.find(run)
    with read_run(row, state) as read:
        return _go(read, _How(False, row.id, _seconds(timeout), detach), as_json=as_json)


def plan_spec(spec: Path, sets: list[str], cluster: str | None, *, as_json: bool) -> int:
    """Print what a run would read, compute and write."""
    from swath.cli.context import read_spec
    from swath.runner import runner
    from swath.runner.matrix import EACH

    read = read_spec(spec, sets, cluster)
    with streams.data_only() as out:
        plan = runner.plan(read.loaded, read.project, read.registry)
        if as_json:
            out.write(plan.to_json() + "\n")
            return 0
        widest = max((len(name) for name, _ in plan.facts), default=0)
        for name, value in plan.facts:
            out.write(f"{name:<{widest}}  {value}\n")
        for line in _each(plan.values.get(EACH, {})):
            out.write(f"{line}\n")
    return 0


@dataclass(frozen=True)
class _How:
    """How to run, whatever the spec."""

    fresh: bool
    resume: str | None
    timeout_s: float | None
    detach: bool
    identity: str | None = None


def _seconds(timeout: str | None) -> float | None:
    from swath.cli import parse_amounts

    return None if timeout is None else parse_amounts.seconds(timeout, "--timeout")


def _each(plans: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The variants of a matrix beside each other: what their plans differ in."""
    names = dict.fromkeys(name for plan in plans.values() for name in plan)
    differing = [name for name in names if len({str(plan.get(name)) for plan in plans.values()}) > 1]
    if not differing:
        return []
    cells = [[variant, *(str(plan.get(name, "")) for name in differing)] for variant, plan in plans.items()]
    return ["", *table(["VARIANT", *(name.upper() for name in differing)], cells)]


def _go(read: SpecContext, how: _How, *, as_json: bool) -> int:
    from swath.runner.runner import new_identity, run

    if how.detach:
        from swath.cli.commands.detach import detach

        return detach(how.resume or new_identity(read.loaded), read.project.state, as_json=as_json)
    with streams.data_only() as out:
        with _view(out, as_json=as_json) as view:
            outcome = run(
                read.loaded,
                read.project,
                read.registry,
                listeners=[view],
                fresh=how.fresh,
                resume=how.resume,
                timeout_s=how.timeout_s,
                identity=how.identity,
                source=read.source,
            )
        if as_json:
            _say_error(outcome)
        else:
            out.writelines(f"{output}\n" for output in outcome.outputs)
    return outcome.exit_code


@contextlib.contextmanager
def _view(out: TextIO, *, as_json: bool) -> Iterator[Listener]:
    """The reader that fits to where the output goes."""
    if as_json:
        from swath.cli.view.lines import JsonView

        with JsonView(out) as lines:
            yield lines
    elif sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        from swath.cli.view.live import LiveView

        with LiveView(sys.stderr) as live:
            yield live
    else:
        from swath.cli.view.plain import PlainView

        with PlainView(sys.stderr) as plain:
            yield plain


def _say_error(outcome: RunOutcome) -> None:
    if outcome.error:
        print(f"error: {outcome.error}", file=sys.stderr)
