"""The commands of `pipe` and their options. The module of a command is imported when it is called, not before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import history_commands, model_commands, server_commands, setup_commands, trigger_commands
from swath.cli.options import AllowEnv, AsEvents, AsJson, ClusterName, Detach, OnServer, RunId, Sets, SpecFile, Timeout
from swath.version import __version__

app = typer.Typer(
    name="pipe",
    help="Turn imagery and a model into maps: one YAML spec in, GIS files out.",
    epilog="Start with: pipe init myproject. Exit codes: 0 done, 1 failed, 2 wrong command or spec, 3 some items set aside,"
    " 4 not allowed, 5 infrastructure, 6 state, 7 teardown not confirmed, 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(words: list[str]) -> int:
    """Run one command line. Returns its exit code; raises SwathError for what a command refuses."""
    command = typer.main.get_command(app)
    try:
        code: Any = command.main(words, prog_name="pipe", standalone_mode=False)
    except typer.Abort:
        return 130
    except Exception as error:
        # A usage error of typer's own. Its class has moved between versions, so it is known by what it can do.
        show = getattr(error, "show", None)
        if not callable(show):
            raise
        show()
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        print(f"swath {__version__}")
        raise typer.Exit


def _seconds(timeout: str | None) -> float | None:
    from swath.cli.parse_amounts import seconds

    return None if timeout is None else seconds(timeout, "--timeout")


@app.callback()
def _pipe(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors (also SWATH_DEBUG=1).")] = False,
) -> None: ...


@app.command("run")
def _run(
    spec: SpecFile,
    sets: Sets = None,
    cluster: ClusterName = None,
    as_json: AsEvents = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use no result of an earlier run.")] = False,
    timeout: Timeout = None,
    detach: Detach = False,
    run_id: Annotated[str | None, typer.Option("--id", hidden=True)] = None,
    ref: Annotated[
        str | None,
        typer.Option(
            "--ref", metavar="REV", help="Take spec, swath.yaml and pipelines from this commit, branch or tag."
        ),
    ] = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", metavar="FILE", help="With --ref: a diff to put on the commit.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of each node whether it would run, and why; start nothing.")
    ] = False,
    allow_env: AllowEnv = None,
) -> int:
    """Run a spec and publish its results.

    Finished calls of earlier runs are not repeated. With --ref the files that the spec names (imagery, models, areas,
    outputs) and the state folder stay those of the project as it is; only spec, swath.yaml and Python code are the
    commit's. `pipe runs show RUN` prints the line that does a run again.

    Example: pipe run specs/bahamas.yaml --set output.to=out/test
    """
    if explain:
        from swath.cli.commands.explain import explain_spec

        return explain_spec(spec, sets or [], cluster, ref, patch, allow_env or [], fresh=fresh, as_json=as_json)
    from swath.cli.commands.run import RunOptions, run_spec

    options = RunOptions(as_json, fresh, _seconds(timeout), detach, tuple(allow_env or ()), run_id)
    return run_spec(spec, sets or [], cluster, ref, patch, options)


@app.command("resume")
def _resume(
    run: RunId,
    as_json: AsEvents = False,
    timeout: Timeout = None,
    detach: Detach = False,
    allow_env: AllowEnv = None,
    server: OnServer = False,
) -> int:
    """Continue a run from where it stopped.

    It takes the spec as it was then. Finished calls are not repeated. With --server the run is queued again there.

    Example: pipe resume last
    """
    if server:
        from swath.cli.commands import remote_runs

        return remote_runs.resume_remote(run)
    from swath.cli.commands.resume import resume_run
    from swath.cli.commands.run import RunOptions

    options = RunOptions(as_json, timeout_s=_seconds(timeout), detach=detach, allow_env=tuple(allow_env or ()))
    return resume_run(run, options)


@app.command("cancel")
def _cancel(
    run: RunId,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for its end.", min=0)] = 60,
    now: Annotated[bool, typer.Option("--now", help="Do not let it close its cluster; kill it if need be.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: shown with the run.")] = "",
    server: OnServer = False,
) -> int:
    """Stop a run; it can be resumed.

    Does what Ctrl-C does there, and waits until the run has ended. Works from any host that shares the state folder.

    Example: pipe cancel last
    """
    if server:
        from swath.cli.commands import remote_runs

        return remote_runs.cancel_remote(run, reason)
    from swath.cli.commands.cancel import cancel_run

    return cancel_run(run, wait, now=now, reason=reason)


@app.command("list")
def _list(as_json: AsJson = False) -> int:
    """List the pipelines that a spec can name.

    Example: pipe list
    """
    from swath.cli.commands.list import list_pipelines

    return list_pipelines(as_json=as_json)


@app.command("show")
def _show(
    what: Annotated[
        str, typer.Argument(metavar="PIPELINE|SPEC", help="A pipeline's name or a run spec.", show_default=False)
    ],
    as_json: AsJson = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="The graph for Graphviz.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the keys of mappings, with whole descriptions.")
    ] = False,
    sets: Sets = None,
    allow_env: AllowEnv = None,
) -> int:
    """Show a pipeline's parameters and its graph.

    Of a spec: the graph that it makes, with the number of calls where it is known.

    Example: pipe show predict --dot | dot -Tsvg -o predict.svg
    """
    from swath.cli.commands.show import show

    return show(what, sets or [], allow_env or [], as_json=as_json, as_dot=as_dot, everything=everything)


@app.command("check")
def _check(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Run specs.", show_default=False)],
    sets: Sets = None,
    cluster: ClusterName = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the spec alone: open no imagery, model or output.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="Time for what a spec names elsewhere; 60s if not given."),
    ] = None,
    as_json: AsJson = False,
    allow_env: AllowEnv = None,
) -> int:
    """Check specs, and what a run of them would stumble over.

    Nothing is started or written. Mistakes in a spec are printed with line and column. Then contracts, headers of imagery,
    area, grid and outputs are looked at, as `pipe plan` does.

    Example: pipe check specs/*.yaml
    """
    from swath.cli.commands.check import check_specs

    timeout_s = _seconds(timeout)
    return check_specs(
        specs, sets or [], cluster, allow_env or [], offline=offline, timeout_s=timeout_s, as_json=as_json
    )


@app.command("plan")
def _plan(
    spec: SpecFile,
    sets: Sets = None,
    cluster: ClusterName = None,
    as_json: AsJson = False,
    allow_env: AllowEnv = None,
) -> int:
    """Print what a run would read, compute, write and cost.

    Nothing is started.

    Example: pipe plan specs/bahamas.yaml
    """
    from swath.cli.commands.plan import plan_spec

    return plan_spec(spec, sets or [], cluster, allow_env or [], as_json=as_json)


@app.command("schema")
def _schema(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="PIPELINE", help="Only specs of this pipeline.", show_default=False)
    ] = None,
) -> int:
    """Print the JSON Schema of specs.

    For editors: put `# yaml-language-server: $schema=FILE` on a spec's first line.

    Example: pipe schema predict > predict.schema.json
    """
    from swath.cli.commands.schema import print_schema

    return print_schema(pipeline)


model_commands.add_to(app)
history_commands.add_to(app)


@app.command("sweep")
def _sweep(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only what this run left.")] = None,
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--in", metavar="PLACE", help="Also expired machines there: aws:REGION, gcp:PROJECT, kubernetes:NAMESPACE."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List or remove what crashed runs left.

    It is only listed without --yes. Where clusters of swath.yaml are, and with --in, machines that have expired are found too,
    whoever made them: for cron.

    Example: pipe sweep --yes --in aws:eu-central-1
    """
    from swath.cli.commands.sweep import sweep

    return sweep(remove=yes, as_json=as_json, run=run, places=places or [])


@app.command("prune")
def _prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Runs that ended longer ago than that.")
    ] = "30d",
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size", metavar="SIZE", help="Further runs, oldest first, until no more is kept, as in 10GB."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: AsJson = False,
) -> int:
    """List or remove old runs and their results.

    Results that a running run needs are not removed, nor those that newer failed or stopped runs need to be resumed.

    Example: pipe prune --older-than 2w --yes
    """
    from swath.cli.commands.prune import prune

    return prune(older_than, max_size, remove=yes, as_json=as_json)


@app.command("init")
def _init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder to make, or an empty one.", show_default=False)
    ],
) -> int:
    """Make a new project with a pipeline that runs.

    Example: pipe init myproject
    """
    from swath.cli.commands.init import make_project

    return make_project(folder)


@app.command("trust")
def _trust(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder in a project; the current one by default.")
    ] = Path(),
    listed: Annotated[bool, typer.Option("--list", help="Print the trusted folders.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Trust the folder no more.")] = False,
) -> int:
    """Trust a project: load its pipelines, and let its specs read the environment.

    Pipelines are Python code that runs with your rights: read them first. The folder is trusted, with what comes into it later. In CI
    and containers set SWATH_TRUST=1, or to folders separated by colons.

    Example: pipe trust myproject
    """
    from swath.cli.commands.trust import list_trusted, remove_trust, trust_project

    if listed:
        return list_trusted()
    return remove_trust(folder) if remove else trust_project(folder)


@app.command("doctor")
def _doctor(
    spec: Annotated[
        Path | None, typer.Argument(metavar="SPEC", help="Look at what this spec needs, too.", show_default=False)
    ] = None,
    cluster: ClusterName = None,
    results: Annotated[
        bool, typer.Option("--results", help="Verify the stored results instead, and remove damaged ones.")
    ] = False,
    as_json: AsJson = False,
    allow_env: AllowEnv = None,
) -> int:
    """Check whether this machine, and a cluster, can do the work; or verify the stored results.

    Each line is ok, warn or fail, with what to do. With a spec or a cluster that is in a cloud: credentials, machine types, quota,
    image, network, buckets; nothing is started there.

    With --results every stored result of the project is read. Damaged ones are removed, and the next run executes their calls
    again: exit code 6 when there were any, 0 when all fit. Give the spec where it names the bucket of the results.

    Example: pipe doctor specs/bahamas.yaml --cluster aws
    """
    from swath.cli.commands.doctor import print_checked_results, print_findings

    if results:
        return print_checked_results(spec, cluster, allow_env or [], as_json=as_json)
    return print_findings(spec, cluster, allow_env or [], as_json=as_json)


trigger_commands.add_to(app)
setup_commands.add_to(app)
server_commands.add_to(app)
