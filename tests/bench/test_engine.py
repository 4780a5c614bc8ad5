"""The engine's benchmark: every measurement runs, and the table says what was not measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ENGINE = Path(__file__).resolve().parents[2] / "bench" / "engine.py"
TINY = ("--calls", "20", "--items", "3", "--million", "30", "--repeats", "1")


def bench(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What it printed, and what it wrote."""
    file = folder / "found.json"
    words = [sys.executable, str(ENGINE), *TINY, "--folder", str(folder), "--json", str(file), *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, json.loads(file.read_text())


def check(found: dict[str, Any], cases: set[str]) -> None:
    """Every one of the cases has a figure that can be."""
    lines = {line["case"]: line for line in found["measurements"]}
    assert set(lines) == cases
    for case, line in lines.items():
        assert line["found"], (case, line["failed"])
        for measured in line["found"]:
            assert measured["wall_s"] > 0 or case.startswith("start_")
            assert measured["calls"] >= (1 if case.startswith("start_") else line["n"])


@pytest.mark.slow
def test_every_inline_measurement_runs_and_is_in_the_table(tmp_path: Path) -> None:
    printed, found = bench(tmp_path, "--only", "inline")
    check(found, {"inline", "chain_inline", "steps_inline", "whole_inline", "start_inline"})
    for line in found["measurements"]:
        assert line["label"] in printed
    for target in found["targets"]:
        assert target["text"] in printed
        if target["value"] is None:
            assert target["verdict"] == "not measured"
        else:
            met = target["value"] >= target["bound"] if target["least"] else target["value"] <= target["bound"]
            assert target["verdict"] == ("met" if met else "NOT MET")


@pytest.mark.slow
def test_every_measurement_on_a_local_cluster_runs(tmp_path: Path) -> None:
    _, found = bench(tmp_path, "--only", "local")
    local = {"local", "chain_local", "steps_local", "whole_local", "start_local"}
    lines = [line for line in found["measurements"] if line["case"] != "luigi"]  # it may be installed, or not
    check(found | {"measurements": lines}, local)


def test_the_floor_and_the_resumed_run_are_measured(tmp_path: Path) -> None:
    check(bench(tmp_path, "--only", "floor")[1], {"floor"})
    check(bench(tmp_path, "--only", "resume")[1], {"resume"})


@pytest.mark.slow
def test_plain_dask_is_measured(tmp_path: Path) -> None:
    check(bench(tmp_path, "--only", "Dask")[1], {"client_map", "delayed", "bag"})


def test_a_tool_that_is_not_installed_and_one_that_takes_too_long_are_told(tmp_path: Path) -> None:
    hidden = tmp_path / "python"  # an interpreter without any package
    hidden.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    hidden.chmod(0o755)
    for name in ("Prefect", "Luigi"):
        printed, found = bench(tmp_path, "--only", name, "--peers", str(hidden))
        assert "not installed" in printed
        assert not any(line["found"] for line in found["measurements"])
    printed, _ = bench(tmp_path, "--only", "floor", "--limit", "0.001")
    assert "not done in 0.001 s" in printed
