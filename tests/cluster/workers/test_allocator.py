from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize(
    ("libc", "is_glibc"),
    [("glibc 2.36", True), ("musl 1.2", False), (None, False), (ValueError(), False), (OSError(), False)],
)
def test_only_glibc_has_the_settings(
    monkeypatch: pytest.MonkeyPatch, libc: str | Exception | None, is_glibc: bool
) -> None:
    def confstr(name: str) -> str | None:
        if isinstance(libc, Exception):
            raise libc
        return libc

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", confstr)
    assert allocator._glibc() is is_glibc


@pytest.mark.parametrize(
    ("refused", "done"), [(None, True), (allocator.ARENA_MAX, False), (allocator.TRIM_THRESHOLD, False)]
)
def test_all_settings_have_to_be_taken(monkeypatch: pytest.MonkeyPatch, refused: int | None, done: bool) -> None:
    given: dict[int, int] = {}

    def mallopt(parameter: ctypes.c_int, value: ctypes.c_int) -> int:
        given[parameter.value] = value.value
        return 0 if parameter.value == refused else 1

    monkeypatch.setattr(allocator, "_glibc", lambda: True)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert allocator.keep_pages() is done
    assert given == {allocator.ARENA_MAX: 1, allocator.MMAP_THRESHOLD: 2**30, allocator.TRIM_THRESHOLD: 2**31 - 1}
    assert next(iter(given)) == allocator.ARENA_MAX == -8
