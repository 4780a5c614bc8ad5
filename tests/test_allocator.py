from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swath import allocator
from swath.cluster.cluster import cluster_of
from swath.cluster.local import Local
from swath.spec.cluster import LocalCluster, Workers

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

glibc = pytest.mark.skipif(not allocator._glibc(), reason="only glibc has these settings")


def kept_in_a_thread(prelude: str) -> int:
    code = f"{KEPT}\n{prelude}\nfrom threading import Thread\nt = Thread(target=lambda: print(kept()))\nt.start(); t.join()"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout)


@glibc
def test_freed_pages_are_kept_in_threads_too() -> None:
    assert kept_in_a_thread("") < LARGE // 2
    assert kept_in_a_thread("from swath import allocator\nassert allocator.keep_pages()") > LARGE // 2


@glibc
def test_a_local_clusters_worker_keeps_its_pages(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(KEPT, namespace)
    with cluster_of(LocalCluster(workers=Workers(min=1, max=1)), tmp_path) as cluster:
        assert isinstance(cluster, Local)
        assert cluster._client.submit(namespace["kept"]).result(timeout=60) > LARGE // 2


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_pages()
