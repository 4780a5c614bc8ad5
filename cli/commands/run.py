"""`pipe run`: run a spec and show what happens."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from swath.cli import streams
from swath.errors import UsageError
from swath.run_id import is_run_id

if TYPE_CHECKING:
    from swath.events import Listener
    from swath.runner.job import Job


@dataclass(frozen=True)
class RunOptions:
    """Options of `pipe run` and `pipe resume` that are none of the spec's."""

    as_json: bool = False
    """Every event goes to stdout; else the outputs do."""
    fresh: bool = False
    timeout_s: float | None = None
    detach: bool = False
    allow_env: tuple[str, ...] = ()
    """Environment variables that also an untrusted project may read."""
    run_id: str | None = None
    """Of a new run, where it is known already."""


def run_spec(
    spec: Path, sets: list[str], cluster: str | None, ref: str | None, patch: Path | None, options: RunOptions
) -> int:
    """Run a spec, as it is or as of a commit."""
    from swath.runner.load import load, load_commit

    if ref is not None:
        with load_commit(spec, ref, sets, cluster, patch, trust=False, allow_env=options.allow_env) as job:
            return run_job(job, options)
    if patch is not None:
        raise UsageError("--patch goes onto a commit", remedy="name the commit with --ref")
    return run_job(load(spec, sets, cluster, trust=False, allow_env=options.allow_env), options)


def run_job(job: Job, options: RunOptions) -> int:
    """Run a job and show what happens; with `detach`, in a process of its own. Returns the exit code."""
    if options.run_id is not None and not is_run_id(options.run_id):
        raise UsageError(f"{options.run_id[:200]!r} is no id of a run", remedy="leave --id out")
    if options.detach:
        from swath.cli.commands.detach import detach
        from swath.spec.locations import is_stream

        text = job.loaded.text if is_stream(job.loaded.file) and not job.earlier else None
        run_id = job.earlier.id if job.earlier else job.new_id()
        return detach(run_id, job.project.state, text, as_json=options.as_json)
    from swath.reporting.live_file import live_file
    from swath.runner.runner import run

    with streams.data_only() as out:
        with _view(out, as_json=options.as_json) as view:
            outcome = run(
                job, listeners=[view, *live_file()], fresh=options.fresh, run_id=options.run_id, timeout_s=options.timeout_s,
                signals=True,
            )  # fmt: skip
        if not options.as_json:
            out.writelines(f"{output}\n" for output in outcome.outputs)
        elif outcome.error:
            print(f"error: {outcome.error}", file=sys.stderr)
    return outcome.exit_code


@contextlib.contextmanager
def _view(out: TextIO, *, as_json: bool) -> Iterator[Listener]:
    """The view that fits to where the output goes."""
    if as_json:
        from swath.cli.view.lines import JsonView

        with JsonView(out) as lines:
            yield lines
    elif sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        from swath.cli.view.live import LiveView

        with LiveView(cast(TextIO, streams.Terminal(sys.stderr))) as live:
            yield live
    else:
        from swath.cli.view.plain import PlainView

        with PlainView(sys.stderr) as plain:
            yield plain
