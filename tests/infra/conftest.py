"""Tools that check the files in infra/: required in CI, optional elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Tool = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a tool with these arguments in the repository."""


@pytest.fixture
def tool() -> Callable[[str], Tool]:
    """A tool by its name. One that is missing fails the test in CI; elsewhere the test skips."""

    def find(name: str) -> Tool:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        found = shutil.which(name, path=path)
        if found is None:
            if os.environ.get("CI"):
                pytest.fail(f"there is no {name}")
            pytest.skip(f"there is no {name}")

        def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "NO_COLOR": "1", **more}
            return subprocess.run(
                [found, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
            )

        return run

    return find
