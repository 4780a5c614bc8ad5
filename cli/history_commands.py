"""The commands of `pipe` that show earlier runs, with their options. Each command's module is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from swath.cli.options import AsJson, OnServer, RunId

runs = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


@runs.callback()
def _runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.", min=1)] = 20,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing them until Ctrl-C.")] = False,
    server: OnServer = False,
    as_json: AsJson = False,
) -> int:
    """List this project's runs, newest first.

    `pipe runs show RUN` shows one in full.

    Example: pipe runs -n 5
    """
    if context.invoked_subcommand is not None:
        return 0
    if server:
        from swath.cli.commands import remote_runs

        return remote_runs.list_runs(limit, as_json=as_json)
    if watch:
        from swath.cli.commands.runs_watch import watch_runs

        return watch_runs(limit, as_json=as_json)
    from swath.cli.commands.runs import list_runs

    return list_runs(limit, as_json=as_json)


@runs.command("show")
def _runs_show(run: RunId, as_json: AsJson = False) -> int:
    """Show one run in full.

    Its outputs, what failed, and the lines that resume it and run it again.

    Example: pipe runs show last
    """
    from swath.cli.commands.runs_show import show_run

    return show_run(run, as_json=as_json)


@runs.command("table")
def _runs_table(
    run: RunId,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
) -> int:
    """Show the table of a matrix: state, calls and numbers of each variant.

    Also while the run is going on, and after a crash.

    Example: pipe runs table last --csv > results.csv
    """
    from swath.cli.commands.runs_table import print_table

    return print_table(run, as_json=as_json, as_csv=as_csv)


def _diff(
    before: Annotated[str, typer.Argument(metavar="RUN", help="The first run, such as last~1.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="RUN", help="The second run, such as last.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Compare two runs.

    Specs, code, results, outputs and times. Exits 0 whether or not they differ, as `git diff` does.

    Example: pipe diff last~1 last
    """
    from swath.cli.commands.diff import print_diff

    return print_diff(before, after, as_json=as_json)


def _logs(
    run: RunId,
    node: Annotated[str | None, typer.Option("--node", help="Only lines of this node.")] = None,
    level: Annotated[
        str | None, typer.Option("--level", help="Only from this level on: debug, info, warning, error.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only calls that failed: their lines, errors and tracebacks.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    server: OnServer = False,
    as_json: AsJson = False,
) -> int:
    """Print what a run logged.

    Example: pipe logs last --level warning
    """
    if server:
        from swath.cli.commands import remote_runs

        return remote_runs.print_log(run, level, follow=follow, as_json=as_json)
    from swath.cli.commands.logs import print_logs

    return print_logs(run, node, level, failed=failed, follow=follow, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `pipe`."""
    app.add_typer(runs, name="runs")
    app.command("diff")(_diff)
    app.command("logs")(_logs)
