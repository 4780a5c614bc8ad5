"""Standard streams of `pipe` processes whose reader stops, whose disk is full, or that are closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_reader_of_list_that_leaves_is_no_error(project: Path, env: dict[str, str]) -> None:
    command = f"{sys.executable} -m swath.cli schema | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["{", "0"]
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["list"], ["--help"], ["schema"]])
def test_a_full_stdout_is_exit_1_and_a_line(project: Path, env: dict[str, str], words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "swath.cli", *words]
        done = subprocess.run(
            command, cwd=project, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output could not be written: ")
    assert len(done.stderr.splitlines()) == 1


def test_closed_streams_do_no_harm(project: Path, env: dict[str, str]) -> None:
    command = f"{sys.executable} -m swath.cli list >&- 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=project, env=env, timeout=60, check=False)
    assert done.returncode == 0
