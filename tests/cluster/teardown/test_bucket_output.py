"""What killed runs leave of outputs in simulated stores is listed and removed; what may belong to a process that lives is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.cluster.teardown.bucket_output import BUCKET, BucketOutput, leased_output
from swath.cluster.teardown.partial_output import RefusedLease
from swath.cluster.teardown.sweep import SweepResult, find_leftovers
from swath.engine.journal import Journal
from swath.errors import Locked, TeardownError
from swath.storage.bucket_lock import BucketLockLimits, _Lock, bucket_locked, lock_url, read_holder
from swath.storage.objects import list_objects
from swath.storage.publication import Staging, remote_staging
from swath.storage.upload import Upload
from tests.engine.conftest import run_row
from tests.process import ROOT
from tests.storage.buckets import simulated_bucket

NEVER = BucketLockLimits(period_s=1000)
SECOND = BucketLockLimits(stale_after_s=1)

KILLED = """
import os, signal, sys
from pathlib import Path
from swath.cluster.teardown.bucket_output import leased_output
from swath.engine.journal import Journal
from swath.storage.publication import Staging
with Journal.open(Path(sys.argv[1])) as journal, leased_output(journal, sys.argv[2], "gone"), Staging(sys.argv[2], "gone") as staging:
    staging.destination("map.tif").send([b"pixels"])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module", params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulated_bucket(request.param, tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        yield journal


def silent(journal: Journal, limits: BucketLockLimits = SECOND) -> SweepResult:
    """What is left when all that is silent for a second counts as dead; waits for that."""
    deadline = time.monotonic() + 60
    while (found := find_leftovers(journal, limits=limits)).notes and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_the_lock_and_files_of_a_killed_run_are_listed_and_removed_once_it_is_silent(
    bucket: str, journal: Journal, tmp_path: Path
) -> None:
    to = f"{bucket}/killed/out"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "state"), to],
        cwd=ROOT,
        timeout=240,
        env={**os.environ},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    early = find_leftovers(journal)
    assert early.leftovers == []
    (note,) = early.notes
    assert f"{bucket}/killed/.out.lock was renewed" in note
    assert "by gone (process" in note
    (left,) = silent(journal).leftovers
    assert isinstance(left, BucketOutput)
    assert (left.run, left.status, left.size) == ("gone", "crashed", 6)
    assert f"{bucket}/killed/.out.lock (lock of gone (process" in left.lines[0]
    assert left.lines[1] == f"{remote_staging(to, 'gone')}/ (1 file)"
    left.remove(journal)
    assert read_holder(lock_url(to)) is None
    assert list_objects(f"{bucket}/killed") == {}
    assert journal.leases() == []


def test_a_lock_that_is_renewed_between_list_and_removal_stays(bucket: str, journal: Journal) -> None:
    to = f"{bucket}/alive/out"
    lock = _Lock(to, "gone", NEVER)
    lock.acquire()
    journal.write_lease("gone", BUCKET, remote_staging(to, "gone"))
    (left,) = silent(journal).leftovers
    lock.renew()
    with pytest.raises(TeardownError, match=r"\.out\.lock was renewed since it was listed") as caught:
        left.remove(journal)
    assert caught.value.exit_code == 7
    assert read_holder(lock_url(to)).token == lock.me.token
    with pytest.raises(Locked), bucket_locked(to, "second", NEVER):
        pass
    assert len(journal.leases()) == 1
    (left,) = silent(journal).leftovers
    left.remove(journal)
    assert read_holder(lock_url(to)) is None


def test_the_lock_of_another_run_is_never_listed(bucket: str, journal: Journal) -> None:
    to = f"{bucket}/taken/out"
    _Lock(to, "other", NEVER).acquire()
    journal.write_lease("gone", BUCKET, remote_staging(to, "gone"))
    found = silent(journal, BucketLockLimits(stale_after_s=-1))
    assert (found.leftovers, found.notes, journal.leases()) == ([], [], [])
    assert read_holder(lock_url(to)).run == "other"


def test_a_lock_without_a_name_is_never_listed(bucket: str, journal: Journal) -> None:
    to = f"{bucket}/unreadable/out"
    Upload(lock_url(to)).send([b"not a lock"])
    journal.write_lease("gone", BUCKET, remote_staging(to, "gone"))
    assert silent(journal, BucketLockLimits(stale_after_s=-1)).leftovers == []
    assert read_holder(lock_url(to)) is not None


@pytest.mark.parametrize(
    "name", ["", "/out", "/precious/.out", "/precious/.swath-gone-00000000.partial", "/.swath-other-{hash}.partial"]
)
def test_a_lease_that_is_none_of_its_runs_outputs_is_refused(bucket: str, journal: Journal, name: str) -> None:
    Upload(f"{bucket}/precious/.out/file").send([b"x"])
    digest = remote_staging(bucket, "gone").rpartition("-")[2].partition(".")[0]
    journal.write_lease("gone", BUCKET, bucket + name.format(hash=digest))
    (left,) = find_leftovers(journal).leftovers
    assert isinstance(left, RefusedLease)
    with pytest.raises(TeardownError, match="is not an output of run gone"):
        left.remove(journal)
    assert len(list_objects(f"{bucket}/precious")) == 1


def test_a_run_that_ends_leaves_no_lease_and_one_that_is_refused_takes_none(bucket: str, journal: Journal) -> None:
    to = f"{bucket}/ended/out"
    with leased_output(journal, to, "first"):
        assert [(lease.run, lease.kind) for lease in journal.leases()] == [("first", BUCKET)]
        with pytest.raises(Locked), leased_output(journal, to, "second"):
            pass
        with Staging(to, "first") as staging:
            staging.destination("map.tif").send([b"pixels"])
            staging.publish({})
        assert len(journal.leases()) == 1
    assert journal.leases() == []


def test_a_store_that_cannot_be_asked_is_told_and_keeps_the_lease(
    bucket: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    to = f"{bucket}/away/out"
    journal.write_lease("gone", BUCKET, remote_staging(to, "gone"))
    monkeypatch.setattr("swath.cluster.teardown.bucket_output.read_holder", broken)
    found = find_leftovers(journal)
    ((what, error),) = found.unknown
    assert (what, error.exit_code) == (remote_staging(to, "gone"), 5)
    assert "cannot be read: no route" in error.message
    assert len(journal.leases()) == 1
