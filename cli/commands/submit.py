"""`pipe submit`: ask a server for a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from swath.cli.commands.remote_runs import client_of, follow_run, wait_for
from swath.cli.render.terminal_text import printable
from swath.client import Client, RunRequest
from swath.errors import UsageError


@dataclass(frozen=True)
class SubmitOptions:
    """Options of `pipe submit`."""

    project: str | None = None
    labels: tuple[str, ...] = ()
    priority: int = 0
    limit_key: str | None = None
    timeout_s: float | None = None
    attempts: int = 1
    fresh: bool = False
    ref: str | None = None
    runs_on: str | None = None
    key: str | None = None
    wait: bool = False
    follow: bool = False
    as_json: bool = False


def submit(spec: Path, sets: list[str], options: SubmitOptions) -> int:
    """Ask for a run, and wait for it if that is wanted. Returns 0, or the run's exit code when it was waited for."""
    from pydantic import ValidationError

    from swath.spec.yaml.document import read

    text = sys.stdin.read() if str(spec) == "-" else read(str(spec))
    client = client_of()
    try:
        request = RunRequest(
            project=options.project or only_project(client, spec), name="" if str(spec) == "-" else _name(spec), spec=text,
            set=tuple(sets), labels=options.labels, priority=options.priority, limit_key=options.limit_key,
            timeout_s=options.timeout_s, attempts=options.attempts, when_lost="again" if options.attempts > 1 else "tell",
            fresh=options.fresh, ref=options.ref, runs_on=options.runs_on,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    run = client.submit(request, options.key)
    if not options.wait and not options.follow:
        print(json.dumps(run.model_dump(mode="json")) if options.as_json else run.id)
        if run.waits_for:
            print(f"queued: {printable(run.waits_for)}", file=sys.stderr)
        return 0
    print(f"{run.id} is queued{f': {printable(run.waits_for)}' if run.waits_for else ''}", file=sys.stderr)
    if options.follow:
        follow_run(client, run.id, None, as_json=False, out=sys.stderr)
    return wait_for(client, run.id, as_json=options.as_json)


def _name(spec: Path) -> str:
    """The name of a run: that of its file, as far as names go."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in spec.stem
    )[:80]


def only_project(client: Client, spec: Path) -> str:
    """The project that is meant: the only one of the server, or the one with the name of the spec's project folder."""
    names = [str(project["name"]) for project in client.projects()]
    if len(names) == 1:
        return names[0]
    from swath.spec.project_root import project_root

    here = project_root(spec.absolute()).name if str(spec) != "-" else ""
    if here in names:
        return here
    if not names:
        raise UsageError("the server has no project", remedy="an admin adds one: pipe project add NAME --folder DIR")
    raise UsageError(f"the server has the projects {', '.join(names)}", remedy="name one with --project")
