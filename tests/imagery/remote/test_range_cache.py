"""The disk cache of ranges: it serves later processes, stays bounded, and gives no damaged entry."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from swath.errors import UsageError
from swath.imagery.remote import range_cache
from swath.imagery.remote.range_cache import RangeCache, size_in_bytes
from tests.imagery.rasters import write
from tests.imagery.servers import Web


def run(lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "\n".join(line.strip() for line in lines.strip().splitlines())
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


@pytest.mark.slow
def test_the_cache_serves_the_next_process_and_forgets_a_changed_file(
    server: Web, folder: Path, tmp_path: Path
) -> None:
    lines = f"""
        from pathlib import Path
        from tests.imagery.remote.client import Client
        Client().check("{server.address}/a.tif?sig=canary", Path("{folder}"))
    """
    environment = {"SWATH_CACHE": str(tmp_path / "cache")}
    counts = []
    for changed in (False, False, True):
        if changed:
            pixels = np.random.default_rng(1).integers(0, 65535, (2, 256, 256), dtype=np.uint16)
            write(folder / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
        before = len(server.asked)
        done = run(lines, **environment)
        assert done.returncode == 0, done.stderr
        counts.append(len(server.asked) - before)
    assert counts[1] < counts[0] == counts[2]
    assert all(asked.start == 0 for asked in server.asked[counts[0] : counts[0] + counts[1]])


@pytest.mark.slow
def test_the_cache_stays_bounded_under_several_processes(tmp_path: Path) -> None:
    lines = f"""
        import os
        from pathlib import Path
        from swath.imagery.remote.range_cache import RangeCache
        cache = RangeCache(Path("{tmp_path}"), 1_000_000)
        for n in range(300): cache.put("http://host/" + str(n), str(os.getpid()), 0, 9, os.urandom(10_000))
        assert cache.get("http://host/299", str(os.getpid()), 0, 9) is not None
    """
    processes = [threading.Thread(target=lambda: done.append(run(lines))) for _ in range(3)]
    done: list[subprocess.CompletedProcess[str]] = []
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.returncode for p in done] == [0, 0, 0], done[0].stderr
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) <= 1_000_000


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 100_000)
    moment = 10**9
    for number in range(40):
        cache.put("http://host/a", "e", number, 9, bytes(5000))
        assert cache.get("http://host/a", "e", 0, 9) is not None
        # Times in the order of use, however coarse the clock of the disk is.
        for start in (number, 0):
            moment += 1
            os.utime(cache._path("http://host/a", "e", start, 9), (moment, moment))
    assert cache.get("http://host/a", "e", 1, 9) is None
    assert cache.get("http://host/a", "e", 39, 9) is not None


def test_a_damaged_cache_entry_is_not_used(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 10**6)
    cache.put("http://host/a", "e", 0, 9, b"123456789")
    (entry,) = [path for path in tmp_path.rglob("??/*") if path.is_file()]
    entry.write_bytes(entry.read_bytes()[:-1] + b"!")
    assert cache.get("http://host/a", "e", 0, 9) is None


def test_sizes_of_the_cache_are_read_as_people_write_them() -> None:
    assert [size_in_bytes(t) for t in ("1000", "2 GB", "1.5GiB", "3k")] == [1000, 2 * 10**9, 3 * 2**29, 3000]
    with pytest.raises(UsageError, match=range_cache.SIZE):
        size_in_bytes("lots")


def test_a_cache_that_another_process_cleans_is_left_to_it(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 100)
    for number in range(5):
        cache.put("https://a/b.tif", "etag", number, number + 1, b"x" * 100)
    before = sorted(tmp_path.glob("??/*"))
    cache.max_bytes = 10
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not cache._evict()
        assert sorted(tmp_path.glob("??/*")) == before
    assert cache._evict()
    assert sorted(tmp_path.glob("??/*")) == []
