"""Every example of docs/library.md runs as it is written, in a project with the demo's spec, model and imagery."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import ROOT

pytestmark = pytest.mark.slow

SCRIPT, CELL, TEST = re.findall(r"```python\n(.*?)```", (ROOT / "docs/library.md").read_text(), re.DOTALL)
NOTEBOOK = """
import asyncio, pathlib, signal

async def notebook():  # as in Jupyter the cell runs inside of a loop, and signals are the kernel's
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    names = {}
    exec(compile(pathlib.Path("cell.py").read_text(), "<cell>", "exec"), names)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return names["outcome"]

print(asyncio.run(notebook()).status)
"""


@pytest.fixture(scope="module")
def folder(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for name in ("specs/demo.yaml", "specs/demo-inline.yaml", "models/water.pt2", "models/water.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(scene, folder / "data/landsat.tif")
    (folder / "swath.yaml").write_text("")
    return folder


def python(folder: Path, *words: str) -> list[str]:
    """The lines that a Python process prints."""
    env = {name: value for name, value in os.environ.items() if name != "SWATH_HOME"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.splitlines()


def test_the_script_runs(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    first, *outputs = python(folder, "script.py")
    assert first.endswith(" megapixels")
    assert str(folder / "out/small/map.tif") in outputs


def test_the_notebook_cell_runs_and_shows_progress(folder: Path) -> None:
    (folder / "cell.py").write_text(CELL)
    lines = python(folder, "-c", NOTEBOOK)
    assert lines[-1] == "done"
    done, total = re.fullmatch(
        r"predict_region: (\d+) of (\d+) calls", [x for x in lines if "predict_region" in x][-1]
    ).groups()  # type: ignore[union-attr]
    assert done == total


def test_the_test_of_another_program_passes(folder: Path) -> None:
    (folder / "test_ponds.py").write_text(TEST)
    assert "1 passed" in python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ponds.py")[-1]
