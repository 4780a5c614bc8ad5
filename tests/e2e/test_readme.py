"""Every command in the README runs, in the order in which a reader meets it, on the demo's imagery."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process import ROOT
from tests.waiting import until

pytestmark = pytest.mark.slow

COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


EDITABLE = """
import importlib.util, sys

class Editable:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "swath":
            return importlib.util.spec_from_file_location(name, "{package}/__init__.py", submodule_search_locations=["{package}"])

sys.meta_path.insert(0, Editable)
"""
"""As pip's editable install does it: the clone is not on the search path."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, with an environment that stands for the one that `make demo` makes."""
    folder = tmp_path_factory.mktemp("clone") / "swath"
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    hook = folder / ".venv" / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(EDITABLE.format(package=str(folder / "swath")))
    for name, module in (("python", ""), ("pipe", "-m swath.cli ")):
        (binaries / name).write_text(f'#!/bin/sh\nPYTHONPATH="{hook}" exec "{sys.executable}" -P {module}"$@"\n')
    for tool in binaries.iterdir():
        tool.chmod(0o755)
    for stamp in ("made", "run", "dev"):
        (folder / ".venv" / f"{stamp}.stamp").touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Of a new user: nothing is cached of any model."""
    variables = {name: value for name, value in os.environ.items() if name != "SWATH_HOME"}
    return variables | {"XDG_CACHE_HOME": str(folder / ".venv" / "cache")}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def test_the_readme_has_the_commands_that_it_should() -> None:
    assert COMMANDS[0] == "make demo"
    assert {"make test", "make check"} <= set(COMMANDS)
    assert len(COMMANDS) > 12


@contextlib.contextmanager
def served(command: str, folder: Path) -> Iterator[str]:
    """`pipe serve` on a free port until the block ends; gives its address."""
    process = subprocess.Popen(
        [*command.split(), "--port", "0"],
        cwd=folder,
        env=environment(folder),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"is served at (http://127\.0\.0\.1:\d+);", line)
        assert found, line
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)


def asked(command: str, address: str, folder: Path) -> Any:
    """The JSON that a curl line of the README gets from the server at this address."""
    assert "http://127.0.0.1:8270/" in command
    return json.loads(run(command.replace("http://127.0.0.1:8270", address), folder).stdout)


def check_start_and_look(start: str, look: str, address: str, folder: Path) -> None:
    number = asked(start, address, folder)["id"]
    assert [each["id"] for each in asked(look, address, folder)["runs"]] == [number]
    until(lambda: asked(look, address, folder)["runs"][0]["status"] == "done", 200)


@pytest.mark.timeout(600)
def test_the_commands_of_the_readme_run_in_their_order(clone: Path) -> None:
    """One test: what a command does is there for those after it."""
    commands = iter(COMMANDS)
    for command in commands:
        if command in ("make test", "make check"):
            continue
        if command == ".venv/bin/pipe serve":
            start, look = next(commands), next(commands)
            with served(command, clone) as address:
                check_start_and_look(start, look, address, clone)
            continue
        done = run(command, clone)
        if command in ("make demo", ".venv/bin/pipe run specs/demo.yaml"):
            for name in ("map.tif", "map.parquet", "preview.png", "item.json", "report.html"):
                assert str(clone / "out/demo" / name) in done.stdout


def test_the_specs_run_where_they_say(clone: Path, tmp_path: Path) -> None:
    run(".venv/bin/python demo/fetch.py", clone)
    run(".venv/bin/pipe run specs/demo-inline.yaml", clone)
    assert (clone / "out/demo-inline/map.tif").exists()
    env = os.environ | {"PYTHONPATH": str(clone)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": clone, "env": env}
    dask, file = [sys.executable, "-m", "dask"], tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
            **quiet,
        )
    ]
    try:
        until(lambda: file.exists() and file.read_text().endswith("}"), timeout_s=30)
        address = json.loads(file.read_text())["address"]
        worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        started.append(subprocess.Popen([*worker, "--local-directory", str(tmp_path)], **quiet))
        run(f".venv/bin/pipe run specs/demo-address.yaml --fresh --set cluster.url={address}", clone)
        assert started[0].poll() is None
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
    inline, remote = (clone / f"out/demo-{name}/map.tif" for name in ("inline", "address"))
    assert inline.read_bytes() == remote.read_bytes()


def test_the_make_targets_for_tests_are_the_ones_that_ci_runs() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "make test" in text
    dry = subprocess.run(["make", "-n", "check"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for tool in ("ruff check", "lint-imports", "mypy", "pytest"):
        assert tool in dry
