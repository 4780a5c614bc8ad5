"""The folder of the fork server's socket goes with its process, and after a kill at the next start or sweep."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.cluster.local import fork_server, socket_folder
from swath.cluster.local.socket_folder import _TICKS, _space, sweep_socket_folders
from swath.cluster.teardown.sweep import find_leftovers
from swath.engine.journal import Journal
from swath.engine.process import Process
from tests.process import ROOT

CLIENT = """
import os, signal, sys
from pathlib import Path
from swath.cluster.open import open_cluster
from swath.spec.clusters.cluster import LocalCluster
if __name__ == "__main__":
    with open_cluster(LocalCluster(workers=1), Path(sys.argv[1])):
        print(*Path(os.environ["TMPDIR"]).rglob("listener-*"), flush=True)
        exec(sys.argv[2])
"""


@pytest.fixture
def temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a short path."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def client(temp: Path, state: Path, then: str) -> tuple[int, list[str]]:
    """The exit code of a process that has a local cluster, and its sockets while it has it."""
    script = state / "client.py"
    state.mkdir(exist_ok=True)
    script.write_text(CLIENT)
    done = subprocess.run(
        [sys.executable, script, state, then], env={**os.environ, "TMPDIR": str(temp), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(fork_server.METHOD != "forkserver", reason="there is no fork server, and no socket, on this system")
def test_a_killed_client_leaves_no_socket_after_the_next_start(temp: Path, tmp_path: Path) -> None:
    code, (killed,) = client(temp, tmp_path / "state", "os.kill(os.getpid(), signal.SIGKILL)")
    assert code == -signal.SIGKILL
    assert Path(killed).parent.parent == temp / f"swath-sockets-{os.getuid()}"
    assert Path(killed).exists()
    code, (other,) = client(temp, tmp_path / "state", "pass")
    assert code == 0
    assert Path(other).parent != Path(killed).parent
    assert list(temp.iterdir()) == []


def left_by_a_killed_process(temp: Path) -> Path:
    me = Process.this()
    folder = temp / f"swath-sockets-{os.getuid()}" / f"{_space()}.{me.pid}.1"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "listener-12345678"))
    folder.parent.chmod(0o700)
    return folder


def test_folders_of_ended_processes_are_swept_and_those_in_use_stay(temp: Path) -> None:
    me = Process.this()
    gone = left_by_a_killed_process(temp)
    used = gone.with_name(f"{_space()}.{me.pid}.{round(me.started * _TICKS)}")
    others = [gone.with_name(f"00000000.{me.pid}.1"), gone.with_name("mine"), gone.with_name(f"{_space()}.x.1")]
    for folder in (used, *others):
        folder.mkdir()
    sweep_socket_folders()
    assert set(gone.parent.iterdir()) == {used, *others}


def test_pipe_sweep_removes_them_with_their_parent(temp: Path, tmp_path: Path) -> None:
    left_by_a_killed_process(temp)
    with Journal.open(tmp_path / "state") as journal:
        find_leftovers(journal)
    assert list(temp.iterdir()) == []


def test_a_folder_that_others_can_write_or_a_link_is_left_alone(temp: Path, tmp_path: Path) -> None:
    folder = left_by_a_killed_process(temp)
    folder.parent.chmod(0o777)
    sweep_socket_folders()
    assert folder.exists()
    folder.parent.chmod(0o700)
    folder.parent.rename(tmp_path / "elsewhere")
    folder.parent.symlink_to(tmp_path / "elsewhere")
    sweep_socket_folders()
    assert folder.exists()


@pytest.mark.parametrize(("mode", "own"), [(0o700, True), (0o701, True), (0o755, True), (0o720, False), (0o702, False)])
def test_a_folder_is_the_users_own_unless_others_can_write_it(tmp_path: Path, mode: int, own: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert socket_folder._is_own(folder) is own
    assert not socket_folder._is_own(tmp_path / "nothing")
