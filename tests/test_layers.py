"""The import contracts of pyproject.toml hold, and would be missed if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the copy of swath in `folder`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources, its links as folders, that a test may spoil."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    shutil.copytree(REPOSITORY / "swath", tmp_path / "swath", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_go_down_only() -> None:
    done = lint_imports(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("geo.py", "import swath.graph", "Imports go down only BROKEN"),
        ("models/contract.py", "import swath.imagery.scene", "Imports go down only BROKEN"),
        ("graph/task.py", "import swath.pipelines", "Imports go down only BROKEN"),
        ("pipelines/__init__.py", "import swath.cli", "Imports go down only BROKEN"),
        ("reporting/run_report.py", "import swath.runner.runner", "Imports go down only BROKEN"),
        ("change/states.py", "import swath.training.fit", "Imports go down only BROKEN"),
        ("cluster/__init__.py", "import swath.models", "pixels and models BROKEN"),
        ("imagery/scene.py", "import swath.imagery.sources.find", "around a corner BROKEN"),
        ("graph/ref.py", "import sqlite3", "no input or output BROKEN"),
        ("pipelines/__init__.py", "import rasterio", "swath.training.chips BROKEN"),
        ("engine/__init__.py", "def f():\n    import torch.nn", "swath.training.loop BROKEN"),
        (
            "cli/__init__.py",
            "def f():\n    from distributed import Client",
            "under swath.engine.executors and swath.cluster BROKEN",
        ),
    ],
)
def test_a_forbidden_import_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    with (copy / "swath" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert contract in done.stdout


def test_a_module_without_a_place_in_the_layers_is_found(copy: Path) -> None:
    (copy / "swath" / "stray.py").write_text("", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode != 0
    assert "stray" in done.stdout + done.stderr
