"""The real `pipe` process, and a project to use it in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Pipe = Callable[..., "subprocess.CompletedProcess[str]"]

WORK = '''
import os
import time
from pathlib import Path

from swath import Spec, pipeline, task


class Work(Spec):
    """Some calls that take a while."""

    items: int = 4
    """How many calls."""
    wait: float = 0.0
    """Seconds that each takes."""
    bad: int = -1
    """The item that fails."""


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def square(number: int, *, wait: float, bad: int) -> int:
    time.sleep(wait)
    print("squaring", number)
    os.write(1, b"written past Python\\n")
    if number == bad:
        raise ValueError(f"{number} is a bad number")
    return number * number


@task
def add(values: list[int]) -> int:
    return sum(values)


@pipeline
def squares(spec: Work):
    """Add some squares up."""
    return add(square.map(numbers(spec.items), wait=spec.wait, bad=spec.bad))
'''


@pytest.fixture
def env(swath_home: Path) -> dict[str, str]:
    """The environment of a `pipe` process: the code of this checkout, state of its own, no colours, no odd width."""
    dropped = ("NO_COLOR", "COLUMNS", "SWATH_DEBUG", "FORCE_COLOR")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PYTHONPATH": str(ROOT), "SWATH_HOME": str(swath_home), "TERM": "xterm-256color"}


@pytest.fixture
def pipe(project: Path, env: dict[str, str]) -> Pipe:
    """Run `pipe` to its end in the project."""

    def call(*words: str, cwd: Path = project, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "swath.cli", *words]
        return subprocess.run(command, cwd=cwd, env=env | more, capture_output=True, text=True, timeout=90, check=False)

    return call


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one pipeline of its own and a spec."""
    root = tmp_path / "project"
    (root / "pipelines").mkdir(parents=True)
    (root / "swath.yaml").write_text("clusters:\n  one: {kind: local, workers: 1}\n")
    (root / "pipelines" / "squares.py").write_text(WORK)
    (root / "squares.yaml").write_text("pipeline: squares\ncluster: inline\n")
    return root
