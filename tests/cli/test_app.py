"""The verbs and options of `pipe`, as processes."""

from __future__ import annotations

import pytest

from swath.version import __version__
from tests.cli.conftest import Pipe

VERBS = [
    "run",
    "resume",
    "cancel",
    "list",
    "show",
    "check",
    "plan",
    "schema",
    "contract",
    "trust",
    "prune",
    "runs",
    "diff",
    "logs",
    "sweep",
    "init",
    "doctor",
    "serve",
    "server",
    "agent",
    "agents",
    "submit",
    "login",
    "watch",
    "trigger",
    "token",
    "user",
    "project",
    "setup",
]


def test_the_help_names_every_verb_and_each_has_an_example(pipe: Pipe) -> None:
    text = pipe("--help").stdout
    assert all(f"\n  {verb} " in text for verb in VERBS)
    from typer.main import get_command

    from swath.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(VERBS)
    assert all("Example: pipe" in command.help for command in commands.values())


def test_the_version_is_printed(pipe: Pipe) -> None:
    assert pipe("--version").stdout == f"swath {__version__}\n"


@pytest.mark.parametrize("words", [["run"], ["lst"], ["run", "x.yaml", "--nonsense"], ["runs", "-n", "0"]])
def test_a_wrong_command_line_exits_2_with_nothing_on_stdout(pipe: Pipe, words: list[str]) -> None:
    done = pipe(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
