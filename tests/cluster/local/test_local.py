from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from swath.cluster.open import open_cluster
from swath.spec.clusters.cluster import LocalCluster

ROOT = Path(__file__).resolve().parents[3]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
CLIENT = textwrap.dedent("""
    import time
    from pathlib import Path
    from swath.cluster.open import open_cluster
    from swath.spec.clusters.cluster import LocalCluster
    if __name__ == "__main__":
        with open_cluster(LocalCluster(workers=1), Path({state!r})) as cluster:
            {then}
""")


def test_a_local_cluster_listens_on_loopback_only_and_leaves_no_process(tmp_path: Path) -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    with open_cluster(LocalCluster(workers=2), tmp_path) as cluster:
        processes = [me, *(p for p in me.children(recursive=True) if p.pid not in before)]
        listening = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
        assert cluster.workers == 2
        assert cluster.address.startswith("tls://")
        assert listening
        assert set(listening) == {"127.0.0.1"}
    left = []
    for process in me.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended since it was listed
            helper = {"resource_tracker", "forkserver"} & set(process.cmdline()[-1].replace(".", " ").split())
            if process.pid not in before and not helper:
                left.append(process)
    assert left == []


@pytest.mark.slow
def test_workers_end_when_the_client_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT.format(state=str(tmp_path), then='print("up", flush=True); time.sleep(60)'))
    client = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=ENV, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "up\n"
    children = psutil.Process(client.pid).children(recursive=True)
    assert len(children) >= 2  # the fork server and a worker
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_a_killed_worker_is_replaced_and_nothing_is_left_in_the_scratch_folder(tmp_path: Path) -> None:
    with open_cluster(LocalCluster(workers=1), tmp_path) as cluster:
        client = cluster.session.client  # type: ignore[attr-defined]
        (before,) = client.run(os.getpid).values()
        assert list((tmp_path / "scratch").iterdir())
        os.kill(before, signal.SIGKILL)
        assert client.submit(os.getpid, pure=False).result(timeout=20) != before
    assert not (tmp_path / "scratch").exists()


def test_workers_see_the_environment_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWATH_TEST_SEEN", "now")
    with open_cluster(LocalCluster(workers=1), tmp_path) as cluster:
        (seen,) = cluster.session.client.run(_environment).values()  # type: ignore[attr-defined]
    assert seen["SWATH_TEST_SEEN"] == "now"
    assert seen["OMP_NUM_THREADS"] == "1"
    assert not seen["PYTHONSAFEPATH"]


@pytest.mark.slow
def test_a_project_s_calendar_does_not_keep_workers_from_starting(tmp_path: Path) -> None:
    (tmp_path / "calendar.py").write_text("raise RuntimeError('not the one of Python')")
    script = tmp_path / "elsewhere" / "client.py"
    script.parent.mkdir()
    script.write_text(CLIENT.format(state=str(tmp_path / "state"), then="print(cluster.workers)"))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def _environment() -> dict[str, str]:
    return dict(os.environ)


def test_no_folder_that_others_can_write_comes_onto_the_import_path(tmp_path: Path) -> None:
    before = set(sys.path)
    with open_cluster(LocalCluster(workers=1), tmp_path):
        added = set(sys.path) - before
    assert added
    assert all(Path(each).is_relative_to(tmp_path) for each in added)
