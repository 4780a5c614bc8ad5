"""The lock of an output in a bucket: an object beside it, written with conditional puts, so that one run at a time publishes there.

The holder renews it; its age is the difference of two times of the store (`Last-Modified` and `Date`), not of this machine's clock.
Amazon S3 (`If-None-Match`, `If-Match`) and Google Storage (`ifGenerationMatch`); outputs of other stores have no lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from swath.errors import CredentialsError, InfrastructureError, Locked, SwathError, TaskFailed
from swath.storage.address import scheme
from swath.storage.attempts import HTML_ANSWER, Attempts, UnexpectedAnswer, is_html
from swath.storage.filesystem import filesystem_and_path
from swath.storage.object_writer import s3_answer

log = logging.getLogger(__name__)

LOCKED_STORES = ("s3", "gs")
_BOUNDARY = "swath-lock"
_TEXT = 300
"""Characters of a text in a lock that are read."""


@dataclass(frozen=True)
class BucketLockLimits:
    """Times of a lock, in seconds."""

    period_s: float = 10.0
    """Between two renewals."""
    stale_after_s: float = 60.0
    """A lock that was not renewed for so long is another run's to take."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as the object says, and which version of the object that is."""

    run: str
    host: str
    pid: int
    started: float
    """When it took the lock, in seconds since 1970."""
    token: str
    """Random; of one process of one run."""
    version: str = ""
    """ETag (S3) or generation (Google Storage)."""
    silent_s: float = 0.0
    """Seconds since it was renewed, by the store's clock."""

    def __str__(self) -> str:
        return f"{self.run} (process {self.pid} on {self.host})"


def lock_url(target: str) -> str:
    """The URL of the lock object of an output."""
    place, _, name = target.rstrip("/").rpartition("/")
    return f"{target.rstrip('/')}/.lock" if place.endswith("/") else f"{place}/.{name}.lock"


def read_holder(url: str, attempts: Attempts = Attempts()) -> Holder | None:
    """Who holds a lock; None when there is no such object. An object that is no lock has a holder without a name.

    Raises CredentialsError, OSError and the errors of the store's client.
    """
    filesystem, path = filesystem_and_path(url)
    bucket, _, key = path.partition("/")

    def request() -> tuple[str, datetime, str, bytes]:
        if scheme(url) == "s3":
            found = filesystem.call_s3("get_object", Bucket=bucket, Key=key)
            content = _body(filesystem, found)  # also of a page of a proxy: the connection is free only then
            if "ETag" not in found:
                raise UnexpectedAnswer(HTML_ANSWER if is_html(content) else "the store's answer has no ETag")
            date = found["ResponseMetadata"]["HTTPHeaders"]["date"]
            return found["ETag"], found["LastModified"], date, content
        headers, content = filesystem.call("GET", "b/{}/o/{}", bucket, key, alt="media")
        if "X-Goog-Generation" not in headers:
            raise UnexpectedAnswer(HTML_ANSWER if is_html(content) else "the store's answer has no generation")
        return headers["X-Goog-Generation"], parsedate_to_datetime(headers["Last-Modified"]), headers["date"], content

    try:
        version, modified, date, content = attempts.answer(request, url)
    except FileNotFoundError:
        return None
    silent_s = (parsedate_to_datetime(date) - modified).total_seconds()
    try:
        said = json.loads(content)
        run, host, token = (str(said[name])[:_TEXT] for name in ("run", "host", "token"))
        return Holder(run, host, int(said["pid"]), float(said["started"]), token, version, silent_s)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Holder("an unknown run", "an unknown host", 0, 0.0, "", version, silent_s)


def remove_lock(url: str, holder: Holder) -> None:
    """Remove a lock, if it is still the one that was read."""
    found = read_holder(url)
    if found is not None and found.token == holder.token:
        _delete(url, found.version)


def remove_silent_lock(url: str, holder: Holder) -> bool:
    """Remove a lock, if it was not renewed since it was read. False when it was renewed by the same process, which lives then."""
    found = read_holder(url)
    if found is not None and found.version == holder.version:
        _delete(url, holder.version)
        found = read_holder(url)
    return found is None or found.token != holder.token


def _delete(url: str, version: str) -> None:
    """Remove an object of this version; one of another version stays."""
    filesystem, path = filesystem_and_path(url)
    bucket, _, key = path.partition("/")

    def request() -> None:
        try:
            if scheme(url) == "s3":
                answer = filesystem.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=version)
                html = "html" in answer["ResponseMetadata"]["HTTPHeaders"].get("content-type", "")
            else:
                _, content = filesystem.call("DELETE", "b/{}/o/{}", bucket, key, ifGenerationMatch=version)
                html = is_html(content)
        except (FileNotFoundError, FileExistsError):  # an earlier request has removed it, or it is another's now
            return
        except OSError as error:
            if _status(error) not in (409, 412):
                raise
            return
        if html:
            raise UnexpectedAnswer(HTML_ANSWER)

    Attempts().answer(request, url)


def check_lock(target: str, run: str) -> None:
    """Raises Locked when another run than this holds the lock of an output, because it took it over after a silence of this one,
    and TaskFailed when the lock cannot be read."""
    if scheme(target) not in LOCKED_STORES:
        return
    try:
        holder = read_holder(lock_url(target))
    except SwathError:
        raise
    except Exception as error:
        raise TaskFailed(f"{target} is not published: {lock_url(target)} cannot be read: {error}") from error
    if holder is not None and holder.run != run:
        raise Locked(
            f"{target} is not published: its lock is now held by {holder}",
            remedy="this run was silent for too long; wait for the other one, or choose another output.to",
        )


@contextlib.contextmanager
def bucket_locked(target: str, run: str, limits: BucketLockLimits = BucketLockLimits()) -> Iterator[None]:
    """Hold the lock of an output in a bucket; a thread renews it meanwhile. Nothing is locked in stores other than LOCKED_STORES.

    A lock of the same run, which was killed and is resumed, and one that was not renewed for `stale_after_s` are taken over.
    Raises Locked, with the holder, when another run has it, CredentialsError or InfrastructureError when the store refuses.
    """
    if scheme(target) not in LOCKED_STORES:
        yield
        return
    lock = _Lock(target, run, limits)
    lock.acquire()
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(limits.period_s):
            lock.renew()

    thread = threading.Thread(target=renew, name="bucket lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(limits.period_s)
        lock.release()


class _Lock:
    """The lock object of one output, held by this process."""

    def __init__(self, target: str, run: str, limits: BucketLockLimits) -> None:
        self.target, self.limits = target, limits
        self.url = lock_url(target)
        self.me = Holder(run, socket.gethostname(), os.getpid(), time.time(), secrets.token_hex(8))
        self._version = ""
        self._renewals = 0

    def acquire(self) -> None:
        """Create it, or take it over."""
        try:
            if self._put(""):
                return
            holder = read_holder(self.url)
            if (
                holder is not None and holder.token == self.me.token
            ):  # the answer to our put was lost, and it was sent again
                self._version = holder.version
                return
            old = holder is not None and (holder.run == self.me.run or holder.silent_s > self.limits.stale_after_s)
            if (holder is None or old) and self._put(holder.version if holder else ""):
                return
            holder = holder if holder is not None and not old else read_holder(self.url)
        except SwathError:
            raise
        except PermissionError as error:
            raise CredentialsError(
                f"{self.url} cannot be written: {error}", remedy="allow this account to write to the bucket"
            ) from error
        except Exception as error:
            if "credential" in str(error).lower():
                raise CredentialsError(f"{self.url} cannot be written: {error}") from error
            raise InfrastructureError(
                f"{self.url} cannot be written: {error}", remedy="check the bucket of output.to, and the network"
            ) from error
        raise Locked(
            f"another run writes to {self.target}: {holder or 'it has just taken the lock'}",
            remedy="wait for it, `pipe cancel` it, or choose another output.to; when it was killed, its lock ends"
            f" {self.limits.stale_after_s:g} s after its last sign of life",
        )

    def renew(self) -> None:
        """Write it again, if it is still our own. A failure is the next renewal's, and the publication's, to find."""
        try:
            if self._put(self._version):
                return
            holder = read_holder(self.url)
            if holder is not None and holder.token == self.me.token:  # the answer to an earlier renewal was lost
                self._version = holder.version
            else:
                log.warning("the lock of %s was taken over by %s", self.target, holder or "a run that has ended")
        except Exception as error:  # noqa: BLE001 - of the store or the network
            log.warning("the lock of %s could not be renewed: %s", self.target, error)

    def release(self) -> None:
        """Remove it. A failure is a warning only: it becomes stale by itself."""
        try:
            remove_lock(self.url, self.me)
        except Exception as error:  # noqa: BLE001 - of the store or the network
            log.warning("%s could not be removed: %s", self.url, error)

    def _put(self, version: str) -> bool:
        """Write the object over this version of it, or as a new one. False when it has another version."""
        filesystem, path = filesystem_and_path(self.url)
        bucket, _, key = path.partition("/")
        self._renewals += 1  # an ETag is a digest of the content, so each content is another
        me = {name: getattr(self.me, name) for name in ("run", "host", "pid", "started", "token")}
        data = json.dumps(me | {"renewals": self._renewals}).encode()

        def request() -> bool:
            try:
                if scheme(self.url) == "s3":
                    condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
                    answer = s3_answer(filesystem, "put_object", "ETag", Bucket=bucket, Key=key, Body=data, **condition)
                    self._version = answer["ETag"]
                else:
                    self._version = _put_gs(filesystem, bucket, key, data, version or "0")
            except FileExistsError:
                return False
            except FileNotFoundError:
                if not version:
                    raise  # no such bucket
                return False
            except OSError as error:
                if _status(error) not in (409, 412):
                    raise
                return False
            return True

        return Attempts().answer(request, self.url)


def _put_gs(filesystem: Any, bucket: str, key: str, data: bytes, generation: str) -> str:
    """Upload an object in one request of two parts, over this generation of it. Returns the new generation."""
    part = f"--{_BOUNDARY}\r\nContent-Type: application/json\r\n\r\n".encode()
    body = part + json.dumps({"name": key}).encode() + b"\r\n" + part + data + f"\r\n--{_BOUNDARY}--".encode()
    answer = filesystem.call(
        "POST", f"{filesystem._location}/upload/storage/v1/b/{bucket}/o", uploadType="multipart",
        ifGenerationMatch=generation, headers={"Content-Type": f'multipart/related; boundary="{_BOUNDARY}"'},
        data=body, json_out=True,
    )  # fmt: skip
    return str(answer["generation"])


def _status(error: BaseException) -> int:
    """HTTP status of an answer of S3, 0 when there is none."""
    response = getattr(error.__cause__, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _body(filesystem: Any, found: Mapping[str, Any]) -> bytes:
    from fsspec.asyn import sync

    try:
        return bytes(sync(filesystem.loop, found["Body"].read))
    finally:
        filesystem.loop.call_soon_threadsafe(found["Body"].close)  # after a cut answer, too
