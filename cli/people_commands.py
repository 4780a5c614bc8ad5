"""The commands of `pipe` for people of a server, with their options. Each command's module is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.", show_default=False)]
user = typer.Typer(
    help="People who sign in to a server.\n\nExample: pipe user add ada",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer, project: typer.Typer) -> None:
    """Add the commands to `pipe` and to `pipe project`."""
    app.add_typer(user, name="user")
    project.command("member")(_member)
    project.command("members")(_members)


@user.command("add")
def _add(
    name: UserName,
    email: Annotated[str, typer.Option("--email", help="Where to reach the user; the server sends nothing.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="An admin of the server.")] = False,
) -> int:
    """Add a user, and print a link with which that user signs in, once.

    Example: pipe user add ada
    """
    from swath.cli.commands.user import add_user

    return add_user(name, email, admin=admin)


@user.command("link")
def _link(name: UserName) -> int:
    """Print a new sign-in link of a user; earlier ones become worthless.

    Example: pipe user link ada
    """
    from swath.cli.commands.user import create_link

    return create_link(name)


@user.command("list")
def _list() -> int:
    """List users and their roles.

    Example: pipe user list
    """
    from swath.cli.commands.user import list_users

    return list_users()


@user.command("disable")
def _disable(name: UserName) -> int:
    """Let a user in no more: sessions, links and own tokens become worthless.

    Example: pipe user disable ada
    """
    from swath.cli.commands.user import let_in

    return let_in(name, disabled=True)


@user.command("enable")
def _enable(name: UserName) -> int:
    """Let a user in again.

    Example: pipe user enable ada
    """
    from swath.cli.commands.user import let_in

    return let_in(name, disabled=False)


@user.command("password")
def _password(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A user, for admins; else oneself.")] = None,
) -> int:
    """Set a password. It is asked for, or the last line of stdin; of one's own the present one before it.

    Example: pipe user password
    """
    from swath.cli.commands.user import set_password

    return set_password(name)


def _member(
    project: ProjectName,
    name: UserName,
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="viewer, runner, keeper; none: no member.", show_default=False)
    ],
) -> int:
    """Give a user a role in a project.

    Example: pipe project member lakes ada runner
    """
    from swath.cli.commands.user import set_role

    return set_role(project, name, role)


def _members(project: ProjectName) -> int:
    """List the users of a project with their roles.

    Example: pipe project members lakes
    """
    from swath.cli.commands.user import list_members

    return list_members(project)
