from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from swath.cluster.cluster import cluster_of
from swath.errors import InfrastructureError
from swath.spec.cluster import AddressCluster, LocalCluster

ROOT = Path(__file__).resolve().parents[2]


def test_a_local_cluster_listens_on_loopback_only_and_leaves_no_process(tmp_path: Path) -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    with cluster_of(LocalCluster(workers=2), tmp_path) as cluster:
        processes = [me, *(p for p in me.children(recursive=True) if p.pid not in before)]
        listening = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
        assert cluster.workers == 2
        assert listening
        assert set(listening) == {"127.0.0.1"}
    left = [
        p
        for p in me.children(recursive=True)
        if p.pid not in before
        and not {"resource_tracker", "forkserver"} & set(p.cmdline()[-1].replace(".", " ").split())
    ]
    assert left == []


def test_workers_end_when_the_client_is_killed(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from swath.cluster.cluster import cluster_of
        from swath.spec.cluster import LocalCluster
        if __name__ == "__main__":
            with cluster_of(LocalCluster(workers=2), Path({str(tmp_path)!r})):
                print("up", flush=True)
                time.sleep(60)
    """)
    script = tmp_path / "client.py"
    script.write_text(code)
    client = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "up\n"
    children = psutil.Process(client.pid).children(recursive=True)
    assert len(children) >= 2
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_an_address_where_nobody_answers_is_exit_code_5(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("swath.cluster.address.CONNECT_TIMEOUT_S", 1)
    with pytest.raises(InfrastructureError, match="no Dask scheduler answers") as caught:
        cluster_of(AddressCluster(url="tcp://127.0.0.1:9"), tmp_path).__enter__()
    assert caught.value.exit_code == 5


def test_an_existing_scheduler_is_used_and_left_running(tmp_path: Path) -> None:
    from swath.engine.store import ResultStore

    file = tmp_path / "scheduler.json"
    run = [sys.executable, "-m", "dask"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "cwd": tmp_path}
    scheduler = subprocess.Popen(
        [*run, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
        **quiet,
    )
    worker = None
    try:
        deadline = time.monotonic() + 30
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        import json

        time.sleep(0.2)
        address = json.loads(file.read_text())["address"]
        worker = subprocess.Popen(
            [*run, "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"], **quiet
        )
        with cluster_of(AddressCluster(url=address), tmp_path) as cluster:
            assert (cluster.kind, cluster.workers) == ("address", 1)
            cluster.check_store(ResultStore(str(tmp_path / "results")))
            with pytest.raises(InfrastructureError, match="cannot read the results folder"):
                cluster.check_store(Elsewhere(str(tmp_path / "results")))
        assert scheduler.poll() is None
        assert worker.poll() is None
    finally:
        for process in (worker, scheduler):
            if process is not None:
                process.terminate()
                process.wait(20)


def _elsewhere(root: str) -> object:
    from swath.engine.store import ResultStore

    return ResultStore(root + "-on-another-machine")


class Elsewhere:
    """A store that looks to other processes as if it were a folder of another machine."""

    def __init__(self, root: str) -> None:
        from swath.engine.store import ResultStore

        self._store = ResultStore(root)
        self.root = root

    def put(self, value: object) -> object:
        return self._store.put(value)

    def __reduce__(self) -> tuple[object, ...]:
        return (_elsewhere, (self.root,))
