from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swath.cluster.workers import allocator

LARGE = 100_000_000
KEPT = """
def kept():
    "How many bytes of an array of 100 MB the process still has when the array is gone."
    import numpy as np
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    before = resident()
    np.ones(100_000_000, np.uint8)
    return resident() - before
"""
CLIENT = """
from pathlib import Path
from swath.cluster.open import open_cluster
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.clusters.workers import Workers
if __name__ == "__main__":
    with open_cluster(LocalCluster(workers=Workers(min=1, max=1)), Path({state!r})) as cluster:
        print(cluster.session.client.submit(kept).result(timeout=50))
"""
ROOT = Path(__file__).resolve().parents[3]

glibc = pytest.mark.skipif(not allocator._glibc(), reason="only glibc has these settings")


def kept_in_a_thread(prelude: str) -> int:
    code = f"{KEPT}\n{prelude}\nfrom threading import Thread\nt = Thread(target=lambda: print(kept()))\nt.start(); t.join()"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout)


@glibc
def test_freed_pages_are_reused_in_threads_too() -> None:
    assert kept_in_a_thread("") < LARGE // 2
    assert kept_in_a_thread("from swath.cluster.workers import allocator\nassert allocator.keep_pages()") > LARGE // 2


@glibc
def test_a_worker_of_a_local_cluster_reuses_freed_pages(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(KEPT + CLIENT.format(state=str(tmp_path)))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, str(script)], capture_output=True, check=True, timeout=60, env=env)
    assert int(run.stdout) > LARGE // 2


def test_other_systems_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_pages()
