"""Fixtures for every test: the shared real data, a state folder of its own, no network but loopback."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.process import ROOT, Pipe

# Hundreds of processes import swath: its bytecode is kept also where the environment says not to.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# As many tests run at a time as there are cores: threads that wait for each other by spinning would only take them from others.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

SHARED = Path(os.environ.get("SWATH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many a test waits for something."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_configure() -> None:
    """A shell ignores SIGINT for what it starts in the background, and that is inherited: runs are stopped by it here."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that no core waits at the end for the last one of another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's scene, fetched as `make demo` does it, once for all test processes."""
    path = ROOT / "data/landsat.tif"
    with (tmp_path_factory.getbasetemp().parent / "scene.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([sys.executable, str(ROOT / "demo/fetch.py"), str(path)], check=True, cwd=ROOT)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real imagery, labels and models. It must be there in CI; elsewhere tests that need it skip."""
    if not (SHARED / "data" / "README.md").is_file():
        message = f"no shared data at {SHARED}; set SWATH_SHARED to the folder that holds data/"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's cache folder, one for all test processes, is not that of who runs the tests."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp().parent / "cache")


@pytest.fixture(scope="session", autouse=True)
def config_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's configuration folder, one for all test processes, is not that of who runs the tests."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.getbasetemp().parent / "config")


@pytest.fixture(autouse=True)
def swath_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of each test goes to a folder of its own."""
    home = tmp_path / "swath-home"
    monkeypatch.setenv("SWATH_HOME", str(home))
    return home


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    """The command, in an empty project folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "swath.yaml").write_text("")
    return Pipe(folder)
