"""The commands of `pipe` for triggers, with their options. Each command's module is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import AsJson

TriggerName = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="A trigger's name in swath.yaml.", show_default=False)
]
OnServer = Annotated[
    bool,
    typer.Option("--server", help="Of the server that `pipe login` stored, instead of this project's `pipe watch`."),
]
ServerProject = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="With --server: the project's name there.")
]
trigger = typer.Typer(
    help="Triggers of this project, which `pipe watch` runs, or of a server.\n\nExample: pipe trigger ls",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `pipe`."""
    app.command("watch")(_watch)
    app.add_typer(trigger, name="trigger")


def _watch(
    start: Annotated[
        Path,
        typer.Argument(metavar="[SWATH.YAML]", help="A project's swath.yaml or folder; the current one by default."),
    ] = Path(),
    most_runs: Annotated[
        int | None, typer.Option("--runs", metavar="N", help="Runs at the same time; 1 if not given.", min=1, max=1000)
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Do what is due now, wait for its runs, and end: for cron, or to try a trigger."),
    ] = False,
    server: Annotated[
        bool,
        typer.Option("--server", help="Ask the server that `pipe login` stored for the runs: its agents execute them."),
    ] = False,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="With --server: the project's name there.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="With --server: a label that an agent must have."),
    ] = None,
) -> int:
    """Start runs when they are due, or when something new is there.

    Runs the triggers of swath.yaml in this process, without a server, until Ctrl-C; runs go on then. What was due or found gets
    one run, also when this process, a run or the machine is killed in between. Changes of swath.yaml are taken up.

    Example: pipe watch --runs 2
    """
    from swath.cli.commands.watch import OnServerOptions, watch
    from swath.errors import UsageError

    if not server and (project or labels):
        raise UsageError("--project and --label are for runs of a server", remedy="add --server")
    options = OnServerOptions(project, tuple(labels or ())) if server else None
    return watch(start, most_runs, options, once=once)


@trigger.command("ls")
def _ls(as_json: AsJson = False, server: OnServer = False, project: ServerProject = None) -> int:
    """List the triggers: what is next, and what came of the last.

    Example: pipe trigger ls
    """
    from swath.cli.commands.trigger import list_triggers

    if server:
        from swath.cli.commands import server_triggers

        return server_triggers.list_triggers(project, as_json=as_json)
    return list_triggers(as_json=as_json)


@trigger.command("show")
def _show(name: TriggerName, as_json: AsJson = False, server: OnServer = False, project: ServerProject = None) -> int:
    """Show one trigger: the next instants, its runs, and why nothing was started.

    Example: pipe trigger show weekly
    """
    from swath.cli.commands.trigger import show_trigger

    if server:
        from swath.cli.commands import server_triggers

        return server_triggers.show_trigger(project, name, as_json=as_json)
    return show_trigger(name, as_json=as_json)


@trigger.command("fire")
def _fire(
    name: TriggerName,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Of a sensor: run once more for what it found under this key."),
    ] = None,
    server: OnServer = False,
    project: ServerProject = None,
) -> int:
    """Start a run of a schedule now; have a sensor look now.

    Example: pipe trigger fire new_scenes --key 2026-11-28
    """
    from swath.cli.commands.trigger import fire_trigger

    if server:
        from swath.cli.commands import server_triggers

        return server_triggers.fire_trigger(project, name, key)
    return fire_trigger(name, key)


@trigger.command("pause")
def _pause(name: TriggerName, server: OnServer = False, project: ServerProject = None) -> int:
    """Start no run of a trigger until it is resumed. What is queued stays queued.

    Example: pipe trigger pause weekly
    """
    from swath.cli.commands.trigger import pause_trigger

    if server:
        from swath.cli.commands import server_triggers

        return server_triggers.pause_trigger(project, name)
    return pause_trigger(name)


@trigger.command("resume")
def _resume(
    name: TriggerName,
    missed: Annotated[
        str, typer.Option("--missed", metavar="skip|last|all", help="What to do with what was due during the pause.")
    ] = "skip",
    server: OnServer = False,
    project: ServerProject = None,
) -> int:
    """Let a paused trigger go on.

    Example: pipe trigger resume weekly --missed last
    """
    from swath.cli.commands.trigger import resume_trigger

    if server:
        from swath.cli.commands import server_triggers

        return server_triggers.resume_trigger(project, name, missed)
    return resume_trigger(name, missed)


@trigger.command("backfill")
def _backfill(
    name: TriggerName,
    first: Annotated[str, typer.Option("--from", metavar="INSTANT", help="Such as 2026-01-01, in the trigger's zone.")],
    last: Annotated[str | None, typer.Option("--to", metavar="INSTANT", help="Until then; now when not given.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only list what would be started.")] = False,
) -> int:
    """Start the runs of a schedule that were due in the past and never started.

    Each gets its due instant, so that `${trigger:day}` is that day. What ran is not run again.

    Example: pipe trigger backfill weekly --from 2026-01-01 --dry
    """
    from swath.cli.commands.trigger import backfill_trigger

    return backfill_trigger(name, first, last, dry=dry)


@trigger.command("put")
def _put(
    name: TriggerName,
    spec: Annotated[Path, typer.Option("--spec", metavar="FILE", help="The spec that it runs.")],
    fields: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="A field as in swath.yaml, such as cron='30 2 * * *'."),
    ],
    project: ServerProject = None,
) -> int:
    """Make a schedule on the server, or one that follows another trigger. Sensors are written in swath.yaml.

    Example: pipe trigger put nightly --spec specs/lake.yaml --set cron='30 2 * * *' --set zone=Europe/Berlin
    """
    from swath.cli.commands.server_triggers import put_trigger

    return put_trigger(project, name, spec, fields)


@trigger.command("remove")
def _remove(name: TriggerName, project: ServerProject = None) -> int:
    """Remove a trigger that was made on the server. Its runs stay.

    Example: pipe trigger remove nightly
    """
    from swath.cli.commands.server_triggers import remove_trigger

    return remove_trigger(project, name)
