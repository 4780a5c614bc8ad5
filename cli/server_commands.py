"""The commands of `pipe` for servers and agents, with their options. Each command's module is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli import people_commands
from swath.cli.options import AsJson, Sets, SpecFile, Timeout
from swath.cli.parse_amounts import seconds

Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="LABEL", help="A label; may be given several times.")
]
Port = Annotated[int, typer.Option("--port", help="Where to listen; 0: any that is free.", min=0, max=65535)]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="postgresql://...; a file in the folder when not given."),
]
ServerFolder = Annotated[Path, typer.Option("--data", metavar="DIR", help="The server's folder.")]
server = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
token = typer.Typer(
    help="Tokens of a server's users and agents.\n\nExample: pipe token create ci --project lakes",
    no_args_is_help=True,
    rich_markup_mode=None,
)
project = typer.Typer(
    help="Projects of a server.\n\nExample: pipe project add lakes --folder /data/lakes",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `pipe`."""
    for name, command in (
        ("serve", _serve),
        ("agent", _agent),
        ("login", _login),
        ("submit", _submit),
        ("agents", _agents),
    ):
        app.command(name)(command)
    app.add_typer(server, name="server")
    app.add_typer(token, name="token")
    app.add_typer(project, name="project")
    people_commands.add_to(app, project)


def _serve(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder in a project; the current one by default.")
    ] = Path(),
    port: Port = 8270,
    slots: Annotated[int, typer.Option("--slots", help="How many runs go on at once.", min=1)] = 1,
) -> int:
    """Serve a project on this machine: runs by HTTP and `pipe submit`.

    Only this machine reaches it. Ctrl-C ends the server; runs go on, and the next `pipe serve` takes them up.

    Example: pipe serve
    """
    from swath.cli.commands.server import serve_project

    return serve_project(folder.absolute(), port, slots)


@server.callback()
def _server(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The server's folder.")] = None,
    database: DatabaseUrl = None,
    url: Annotated[str, typer.Option("--url", help="How others reach the server: https://...")] = "",
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Port = 8270,
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, with its chain.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key.")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy in front of it speaks TLS.")] = False,
    oidc: Annotated[
        Path | None,
        typer.Option("--oidc", metavar="FILE", help="The identity provider with which people sign in."),
    ] = None,
    keep_done: Annotated[
        str, typer.Option("--keep-done", metavar="DURATION", help="How long runs that are done are stored.")
    ] = "90d",
    keep_failed: Annotated[
        str, typer.Option("--keep-failed", metavar="DURATION", help="How long all other ended runs are stored.")
    ] = "365d",
    keep_lines: Annotated[
        str, typer.Option("--keep-lines", metavar="DURATION", help="How long log lines of ended runs are stored.")
    ] = "30d",
) -> int:
    """Run a server for a team; back it up; upgrade it.

    It executes nothing and reads no pixel: agents pull runs from it. The first start prints a link that signs the first admin in, once,
    and writes this admin's token into its folder.
    What has ended long ago is removed, a little at a time.

    Example: pipe server --data /var/lib/swath --url https://swath.example.org --behind-proxy
    """
    if context.invoked_subcommand is not None:
        return 0
    from swath.cli.commands.server import serve
    from swath.server.retention import Keep
    from swath.server.serving import ListenAddress

    keep = Keep(
        done_s=seconds(keep_done, "--keep-done"), failed_s=seconds(keep_failed, "--keep-failed"),
        lines_s=seconds(keep_lines, "--keep-lines"),
    )  # fmt: skip
    address = ListenAddress(host, port, url, certificate, key, behind_proxy)
    return serve(address, _needed(data).absolute(), database, keep, None if oidc is None else oidc.absolute())


def _needed(data: Path | None) -> Path:
    if data is None:
        raise typer.BadParameter("it has no default", param_hint="--data")
    return data


@server.command("backup")
def _backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The copy.", show_default=False)],
    data: ServerFolder,
) -> int:
    """Copy the database of a server, which may go on meanwhile. Of PostgreSQL pg_dump makes the copy.

    To restore it, end the server and put the copy in the place of server.sqlite, without server.sqlite-wal and -shm.

    Example: pipe server backup --data /var/lib/swath monday.sqlite
    """
    from swath.cli.commands.server import back_up

    return back_up(data.absolute(), target.absolute())


@server.command("upgrade")
def _upgrade(
    data: ServerFolder,
    database: DatabaseUrl = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; tell what is to be done.")] = False,
) -> int:
    """Bring a server's database to this version of swath, as its next start would. The server must not be running.

    Of a file, a copy is made beside it first.

    Example: pipe server upgrade --data /var/lib/swath --check
    """
    from swath.cli.commands.server import upgrade

    return upgrade(data.absolute(), database, check=check)


def _agent(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The server; $SWATH_SERVER when not given.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The agent's name; the host's when not given.")] = None,
    labels: Labels = None,
    slots: Annotated[int, typer.Option("--slots", help="How many runs go on at once.", min=1)] = 1,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Its token; $SWATH_AGENT_TOKEN when not given.")
    ] = None,
    launchers: Annotated[
        Path | None,
        typer.Option("--launchers", metavar="FILE", help="The agent's file: containers and machines for runs."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="URL", help="A git repository whose code it executes, or all below URL/; several times."
        ),
    ] = None,
) -> int:
    """Execute runs of a server on this machine.

    It claims runs whose labels it has. Ctrl-C ends it; its runs go on, and the next agent of this name takes them up.

    Example: pipe agent https://swath.example.org --label gpu
    """
    from swath.cli.commands.agent import work

    return work(url, name, labels or [], slots, token_file, accept or [], launchers)


def _login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server.", show_default=False)],
    user: Annotated[str | None, typer.Option("--user", help="Sign in with this user's password.")] = None,
) -> int:
    """Sign in to a server: store a token for it.

    A token or a sign-in link is asked for, or read from stdin; with --user, the password. In CI set SWATH_SERVER and SWATH_TOKEN
    instead.

    Example: pipe login https://swath.example.org
    """
    from swath.cli.commands.login import login

    return login(url, user)


def _submit(
    spec: SpecFile,
    sets: Sets = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Of the server; may be left out where it has one only.")
    ] = None,
    labels: Labels = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher ones are first.", min=-100, max=100)] = 0,
    limit_key: Annotated[
        str | None,
        typer.Option("--limit-key", metavar="NAME", help="Runs of one key share the project's limit for it."),
    ] = None,
    timeout: Timeout = None,
    attempts: Annotated[
        int, typer.Option("--attempts", help="How often it is tried when agents are lost.", min=1, max=10)
    ] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use no result of an earlier run.")] = False,
    ref: Annotated[
        str | None,
        typer.Option("--ref", help="Branch, tag or commit of a project in git; its own when not given."),
    ] = None,
    runs_on: Annotated[
        str | None,
        typer.Option(
            "--runs-on", metavar="NAME", help="A launcher of an agent; the agent's own machine when not given."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="TEXT", help="The same key gives the same run, however often it is asked for."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; the exit code is the run's.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="As --wait, with its log on stderr.")] = False,
    as_json: AsJson = False,
) -> int:
    """Ask a server for a run. SPEC may be `-`, for stdin.

    The server is the one that `pipe login` or `pipe serve` stored, or $SWATH_SERVER with $SWATH_TOKEN.

    Example: pipe submit specs/demo.yaml --wait
    """
    from swath.cli.commands.submit import SubmitOptions, submit

    timeout_s = None if timeout is None else seconds(timeout, "--timeout")
    options = SubmitOptions(
        project,
        tuple(labels or ()),
        priority,
        limit_key,
        timeout_s,
        attempts,
        fresh,
        ref,
        runs_on,
        key,
        wait,
        follow,
        as_json,
    )
    return submit(spec, sets or [], options)


def _agents(as_json: AsJson = False) -> int:
    """List the agents of the server.

    Example: pipe agents
    """
    from swath.cli.commands.remote_runs import list_agents

    return list_agents(as_json=as_json)


@token.command("create")
def _create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", help="user or agent.")] = "user",
    role: Annotated[str, typer.Option("--role", help="viewer, runner, keeper or admin.")] = "runner",
    project: Annotated[str | None, typer.Option("--project", help="The only project that it is for.")] = None,
    valid: Annotated[str | None, typer.Option("--valid", metavar="DURATION", help="How long, such as 90d.")] = None,
) -> int:
    """Create a token and print it, this once.

    Example: pipe token create ci --project lakes
    """
    from swath.cli.commands.token import create_token

    return create_token(name, kind, role, project, None if valid is None else seconds(valid, "--valid"))


@token.command("list")
def _list() -> int:
    """List tokens, without the tokens themselves.

    Example: pipe token list
    """
    from swath.cli.commands.token import list_tokens

    return list_tokens()


@token.command("revoke")
def _revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.", show_default=False)]) -> int:
    """Make a token worthless.

    Example: pipe token revoke ci
    """
    from swath.cli.commands.token import revoke_token

    return revoke_token(name)


@project.command("add")
def _add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name.", show_default=False)],
    folder: Annotated[
        str | None, typer.Option("--folder", metavar="DIR", help="Where it is on the agents' machines.")
    ] = None,
    git: Annotated[str | None, typer.Option("--git", metavar="URL", help="Its git repository: https or ssh.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch, tag or commit for runs that name none; HEAD when not given.")
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", metavar="DIR", help="The project's folder in the repository.")
    ] = None,
) -> int:
    """Add a project, or change where it is: a folder of the agents' machines, or a git repository.

    Example: pipe project add lakes --git https://github.com/ada/lakes
    """
    from swath.cli.commands.token import add_project

    return add_project(name, folder, git, ref, path)


@project.command("limit")
def _limit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name.", show_default=False)],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of `pipe submit --limit-key`.", show_default=False)],
    most: Annotated[str, typer.Argument(metavar="NUMBER", help="How many; none: no limit.", show_default=False)],
) -> int:
    """Limit how many runs of one key go on at once.

    Example: pipe project limit lakes api 2
    """
    from swath.cli.commands.token import limit_project

    return limit_project(name, key, most)
