"""Specs that are no file: from standard input, and from a command of the shell."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe

SPEC = "pipeline: squares\nitems: 3\ncluster: inline\n"


Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(project: Path, env: dict[str, str]) -> Shell:
    """Give a line to bash, in the project."""

    def call(line: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-c", line.replace("pipe ", f"{sys.executable} -m swath.cli ")]
        return subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, timeout=100, check=False)

    return call


@pytest.mark.parametrize("line", ["cat a.yaml | pipe {} -", "cat a.yaml | pipe {} /dev/stdin", "pipe {} <(cat a.yaml)"])
def test_a_spec_is_read_from_standard_input_in_the_current_project(shell: Shell, project: Path, line: str) -> None:
    (project / "a.yaml").write_text(SPEC)
    assert shell(line.format("check")).stdout.strip().endswith("ok (squares, 3 nodes)")
    done = shell(line.format("run"))
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert shell(line.format("show")).stdout.startswith("squares: ")


def test_a_run_of_standard_input_is_named_resumed_and_says_how_it_is_repeated(
    shell: Shell, project: Path, pipe: Pipe
) -> None:
    (project / "a.yaml").write_text(SPEC + "bad: 1\n")
    assert shell("cat a.yaml | pipe run -").returncode == 3
    shown = json.loads(pipe("runs", "show", "last", "--json").stdout)
    assert (shown["name"], shown["spec_path"], shown["again"]) == ("stdin", "-", "pipe run -")
    assert shown["again_caveat"].startswith("the spec was read from standard input")
    assert "items: 3" in shown["spec_text"]
    done = pipe("resume", "last")
    assert done.returncode == 3
    assert "1 is a bad number" in done.stderr


def test_a_detached_run_gets_the_spec_that_was_read(shell: Shell, project: Path, pipe: Pipe) -> None:
    (project / "a.yaml").write_text(SPEC)
    for line in ("cat a.yaml | pipe run - --detach", "pipe run --detach <(cat a.yaml)"):
        run = shell(line).stdout.strip()
        deadline = time.monotonic() + 60
        while "done" not in (shown := pipe("runs", "show", run).stdout) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "status    done" in shown


def test_mistakes_in_standard_input_have_their_places_and_a_commit_has_no_such_spec(shell: Shell) -> None:
    done = shell("echo 'pipeline: squares\nitmes: 3' | pipe run -")
    assert done.returncode == 2
    assert "-:2:1: itmes" in done.stderr
    done = shell(f"echo '{SPEC}' | pipe run - --ref HEAD")
    assert done.returncode == 2
    assert "a spec of a commit cannot come from standard input" in done.stderr
