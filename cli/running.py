"""`pipe run`, `pipe resume` and `pipe plan`: hand a spec to the runner and show what happens."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from swath.cli import streams

if TYPE_CHECKING:
    from swath.events import Listener
    from swath.graph.registry import Registry
    from swath.project import Project
    from swath.runner import RunOutcome
    from swath.spec.load import Loaded


def run_spec(spec: Path, sets: list[str], cluster: str | None, *, as_json: bool, fresh: bool) -> int:
    """Run a spec. Paths of what was published go to stdout, or with `as_json` every event."""
    from swath.cli.reading import read_spec

    read = read_spec(spec, sets, cluster)
    return _go(read.loaded, read.project, read.registry, as_json=as_json, fresh=fresh)


def resume_run(run: str, *, as_json: bool) -> int:
    """Go on with a run of the journal, from the text of its spec that the journal kept."""
    from swath.cli.reading import around, here, registry_of
    from swath.engine.journal import Journal
    from swath.runner import resume_loaded

    state = here().state
    with Journal.open(state) as journal:
        row = journal.find(run)
    project = replace(around(Path(row.root)), state=state)
    registry = registry_of(project)
    loaded = resume_loaded(row, project, registry)
    return _go(loaded, project, registry, as_json=as_json, resume=row.id)


def plan_spec(spec: Path, sets: list[str], cluster: str | None, *, as_json: bool) -> int:
    """Print what a run would read, compute and write."""
    from swath import runner
    from swath.cli.reading import read_spec

    read = read_spec(spec, sets, cluster)
    with streams.data_only() as out:
        plan = runner.plan(read.loaded, read.project, read.registry)
        if as_json:
            out.write(plan.to_json() + "\n")
            return 0
        widest = max((len(name) for name, _ in plan.facts), default=0)
        for name, value in plan.facts:
            out.write(f"{name:<{widest}}  {value}\n")
    return 0


def _go(
    loaded: Loaded,
    project: Project,
    registry: Registry,
    *,
    as_json: bool,
    fresh: bool = False,
    resume: str | None = None,
) -> int:
    from swath.runner import run

    with streams.data_only() as out:
        with _view(out, as_json=as_json) as view:
            outcome = run(loaded, project, registry, listeners=[view], fresh=fresh, resume=resume)
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
