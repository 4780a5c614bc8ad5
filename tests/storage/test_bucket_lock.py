"""Locks of outputs in simulated stores: one run at a time, a silent holder is replaced and cannot publish any more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.errors import Locked
from swath.storage.bucket_lock import BucketLockLimits, _Lock, bucket_locked, lock_url, read_holder, remove_lock
from swath.storage.filesystem import open_filesystem
from swath.storage.publication import Staging
from tests.storage.buckets import simulated_bucket

NEVER = BucketLockLimits(period_s=1000)


@pytest.fixture(scope="module", params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulated_bucket(request.param, tmp_path_factory.mktemp("store")) as url:
        yield url


def test_a_second_run_is_refused_with_the_holders_name_and_the_lock_is_removed_at_the_end(bucket: str) -> None:
    to = f"{bucket}/one/out"
    with bucket_locked(to, "first", NEVER):
        with (
            pytest.raises(Locked, match=f"another run writes to {to}: first .process") as caught,
            bucket_locked(to, "second"),
        ):
            pass
        assert caught.value.exit_code == 6
        assert read_holder(lock_url(to)).run == "first"  # the second has not removed it
    assert read_holder(lock_url(to)) is None
    with bucket_locked(to, "second", NEVER):
        pass


def test_a_killed_runs_lock_is_its_own_when_it_is_resumed(bucket: str) -> None:
    to = f"{bucket}/resumed/out"
    _Lock(to, "run", NEVER).acquire()
    with bucket_locked(to, "run", NEVER):
        pass
    assert read_holder(lock_url(to)) is None


def test_a_silent_holder_is_replaced_whatever_this_machines_clock_says_and_publishes_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = f"{bucket}/silent/out"
    silent = _Lock(to, "silent", NEVER)
    silent.acquire()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 7200)
    with pytest.raises(Locked), bucket_locked(to, "second", NEVER):
        pass
    monkeypatch.setattr(time, "time", lambda: clock() - 7200)
    deadline = time.monotonic() + 20
    while read_holder(lock_url(to)).silent_s <= 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    with bucket_locked(to, "second", BucketLockLimits(period_s=1000, stale_after_s=1)):
        silent.renew()
        silent.release()
        assert read_holder(lock_url(to)).run == "second"
        with Staging(to, "silent") as staging:
            (staging.folder / "item.json").write_text("{}")
            with pytest.raises(Locked, match="not published: its lock is now held by second"):
                staging.publish({})
        assert not open_filesystem(to).exists(f"{to}/item.json")
        with Staging(to, "second") as staging:
            (staging.folder / "item.json").write_text("{}")
            staging.publish({})


def test_a_holder_renews_its_lock(bucket: str) -> None:
    to = f"{bucket}/renewed/out"
    with bucket_locked(to, "run", BucketLockLimits(period_s=0.05)):
        first = read_holder(lock_url(to)).version
        deadline = time.monotonic() + 20
        while read_holder(lock_url(to)).version == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert read_holder(lock_url(to)) is None


def test_a_lock_is_removed_only_while_it_is_the_one_that_was_read(bucket: str) -> None:
    to = f"{bucket}/removed/out"
    mine, other = _Lock(to, "mine", NEVER), _Lock(to, "other", NEVER)
    mine.acquire()
    remove_lock(lock_url(to), other.me)
    assert read_holder(lock_url(to)).run == "mine"
    remove_lock(lock_url(to), mine.me)
    assert read_holder(lock_url(to)) is None


def test_the_lock_is_beside_the_output() -> None:
    assert lock_url("s3://bucket/maps/out") == "s3://bucket/maps/.out.lock"
    assert lock_url("gs://bucket/out/") == "gs://bucket/.out.lock"
    assert lock_url("s3://bucket") == "s3://bucket/.lock"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"run": "r", "host": "h", "pid": Infinity, "started": 1, "token": "t"}',
        b'{"run": "r", "host": "h", "pid": 1, "started": [], "token": "t"}',
        json.dumps({"run": "r" * 100_000, "host": "h", "pid": 1, "started": 1, "token": "t"}).encode(),
    ],
)
def test_an_object_of_somebody_else_in_its_place_is_a_held_lock(bucket: str, content: bytes) -> None:
    to = f"{bucket}/strange/out"
    url = lock_url(to)
    open_filesystem(url).pipe_file(url, content)
    with pytest.raises(Locked, match="another run writes to") as caught, bucket_locked(to, "run", NEVER):
        pass
    assert len(str(caught.value)) < 2000
    open_filesystem(url).rm(url)
