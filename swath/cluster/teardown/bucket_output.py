"""What a killed run leaves of an output in a bucket: its lock, and files that it had not published.

The lease's id is the URL of the run's staging folder in the store. It fits one output and one run, so a lease that somebody else wrote
into the journal names nothing of another run. A lock is removed only when it is the run's own and was silent for longer than its limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from swath import units
from swath.cluster.teardown.partial_output import printable
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow
from swath.errors import InfrastructureError, SwathError, TeardownError
from swath.storage.address import scheme
from swath.storage.attempts import Attempts
from swath.storage.bucket_lock import (
    LOCKED_STORES,
    BucketLockLimits,
    Holder,
    bucket_locked,
    lock_url,
    read_holder,
    remove_silent_lock,
)
from swath.storage.objects import list_objects, remove_objects
from swath.storage.publication import remote_staging

_LIMITS = BucketLockLimits()
_ATTEMPTS, _ONCE = Attempts(), Attempts(requests=1)

BUCKET = "bucket"
"""Kind of lease of an output in a bucket."""


@dataclass(frozen=True)
class BucketOutput:
    """The lock and the unpublished files of one output of a run that has ended."""

    lease: LeaseRow
    status: str
    lock: Holder | None
    """Of this run, when its lock is left and has been silent for longer than the limit."""
    files: int
    size: int
    """Bytes of the unpublished files."""

    @property
    def kind(self) -> str:
        return self.lease.kind

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def run(self) -> str:
        return self.lease.run

    @property
    def leased_at(self) -> float | None:
        return self.lease.created

    @property
    def lines(self) -> list[str]:
        lines = []
        if self.lock is not None:
            silent = units.duration(self.lock.silent_s)
            lines.append(f"{lock_url(target_of(self.lease))} (lock of {self.lock}, not renewed for {silent})")
        if self.files:
            lines.append(f"{self.id}/ ({self.files} {'file' if self.files == 1 else 'files'})")
        return lines

    def remove(self, journal: Journal) -> None:
        url = lock_url(target_of(self.lease))
        try:
            if self.files:
                remove_objects(self.id)
            if self.lock is not None and not remove_silent_lock(url, self.lock):
                raise TeardownError(
                    f"not removed: {url} was renewed since it was listed: its run lives",
                    remedy="look at it again later",
                )
        except SwathError:
            raise
        except Exception as error:  # clients of stores raise errors of their own
            raise TeardownError(
                f"{self.id} cannot be removed: {error}", remedy="remove it by hand, then run `pipe sweep`"
            ) from error
        journal.end_lease(self.id)


@contextlib.contextmanager
def leased_output(journal: Journal, target: str, run: str) -> Iterator[None]:
    """Hold the lock of an output in a bucket, with a lease in the journal for as long as something of it is left there.

    Raises as `bucket_locked` does, and StateError when the lease cannot be written.
    """
    lease = remote_staging(target, run)
    try:
        with bucket_locked(target, run):
            journal.write_lease(run, BUCKET, lease)
            yield
    finally:
        # A store that cannot be asked keeps the lease, for `pipe sweep`; so does a journal that cannot be written.
        with contextlib.suppress(Exception):
            row = next((each for each in journal.leases() if each.id == lease), None)
            if row is not None and _is_gone(row):
                journal.end_lease(lease)


def target_of(lease: LeaseRow) -> str:
    """The output that a lease is of; empty when it is not one that `leased_output` writes for its run."""
    target = lease.id.rpartition("/.")[0]
    belongs = lease.run and "/" not in lease.run and "://" in target
    return target if belongs and lease.id == remote_staging(target, lease.run) else ""


def find_in_bucket(lease: LeaseRow, status: str, limits: BucketLockLimits = _LIMITS) -> BucketOutput | str | None:
    """What is left of an output; None when nothing is, and a sentence when its lock may belong to a process that lives.

    Raises CredentialsError or InfrastructureError when the store cannot be asked.
    """
    target = target_of(lease)
    try:
        lock = _own_lock(lease)
        if lock is not None and lock.silent_s <= limits.stale_after_s:
            left_s = units.duration(max(1.0, limits.stale_after_s - lock.silent_s))
            return (
                f"{printable(lock_url(target))} was renewed {units.duration(lock.silent_s)} ago by {printable(str(lock))}:"
                f" when that has ended, sweep removes it in {left_s}"
            )
        found = list_objects(lease.id)
    except SwathError:
        raise
    except Exception as error:  # clients of stores raise errors of their own
        raise InfrastructureError(
            f"{printable(lease.id)} cannot be read: {error}", remedy="check the bucket and the network"
        ) from error
    if lock is None and not found:
        return None
    size = sum(int(each.get("size") or 0) for each in found.values())
    return BucketOutput(lease, status, lock, len(found), size)


def _own_lock(lease: LeaseRow, attempts: Attempts = _ATTEMPTS) -> Holder | None:
    """The lock of the lease's output, if the lease's run holds it."""
    target = target_of(lease)
    if scheme(target) not in LOCKED_STORES:
        return None
    holder = read_holder(lock_url(target), attempts)
    return holder if holder is not None and holder.run == lease.run else None


def _is_gone(lease: LeaseRow) -> bool:
    return _own_lock(lease, _ONCE) is None and not list_objects(lease.id, _ONCE)
