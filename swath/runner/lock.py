"""File locks of runs: one run per output folder, and no pruning of results while a run uses the state folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from swath.engine.process import Process
from swath.errors import Locked, StateError
from swath.storage.private_folder import make_private

PRUNE_TIMEOUT_S = 60.0
"""How long a run waits at its start for a `pipe prune` to release its lock; it does so every second."""
NAME_TIMEOUT_S = 2.0
"""How long the name of another run is waited for, before it is told without one."""
RETRY_S = 0.05
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
"""How lock files are opened. A link of that name could have come with the folder, and the file it names would be overwritten."""


@contextlib.contextmanager
def locked(output: str, run: str) -> Iterator[None]:
    """Hold the lock of a local output folder. Raises Locked, with the holder's id, when another run has it.

    The operating system releases it when the process ends, however it ends; a lock file that was left behind locks nothing.
    """
    folder = Path(output)
    file = folder.parent / f".{folder.name}.lock"
    handle = _open_locked(file, output)
    try:
        process = Process.this()
        with contextlib.suppress(OSError):  # on a full disk the lock holds as well, only without a name
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"run": run, "host": process.host, "pid": process.pid}).encode())
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _open_locked(file: Path, output: str) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, _LOCK_FILE, 0o644)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StateError(
                    f"{file} is a symbolic link, and would be written through it", remedy="remove it"
                ) from error
            raise StateError(
                f"the output folder {file.parent} cannot be written: {error}", remedy="choose another output.to"
            ) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise StateError(f"{file} is no regular file", remedy="remove it")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(handle, file):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise Locked(
                f"another run writes to {output}: {_holder(file)}",
                remedy="wait for it, `pipe cancel` it, or choose another output.to",
            ) from None
        except OSError as error:
            os.close(handle)
            raise StateError(f"{file} cannot be locked: {error}", remedy="choose another output.to") from error
        os.close(handle)  # its holder ended, and removed it, between our open and our lock


def _has_name(handle: int, file: Path) -> bool:
    """Whether an open file is still the one with that name."""
    try:
        return os.path.samestat(file.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(file: Path) -> str:
    """Who has the lock. Its name is written a moment after it was taken, on a busy machine some moments."""
    deadline = time.monotonic() + NAME_TIMEOUT_S
    while True:
        try:
            found = json.loads(file.read_text())
            return f"{found['run']} (process {found['pid']} on {found['host']})"
        except FileNotFoundError:
            return "a run that has just ended"
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            if time.monotonic() > deadline:
                return "its name could not be read"
        time.sleep(RETRY_S)


@contextlib.contextmanager
def in_use(state: Path, timeout_s: float = PRUNE_TIMEOUT_S) -> Iterator[None]:
    """Inside, no result in the state folder is pruned. Any number of runs may be inside at once.

    Waits for a pruning to end, and raises Locked when it does not.
    """
    with _state_lock(state) as handle:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(handle, fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise Locked(f"results in {state} are being pruned", remedy="wait for `pipe prune` to end, or end it")
            time.sleep(RETRY_S)
        yield


@contextlib.contextmanager
def unused(state: Path) -> Iterator[bool]:
    """Inside, no run may begin to use the state folder. Yields False, and locks nothing, when a run uses it already."""
    with _state_lock(state) as handle:
        yield _try_lock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def _state_lock(state: Path) -> Iterator[int]:
    """The descriptor of the state folder's lock file, not locked yet."""
    try:
        make_private(state)
        handle = os.open(state / "runs.lock", _LOCK_FILE, 0o600)
    except OSError as error:
        raise StateError(
            f"the state folder {state} cannot be written: {error}",
            remedy="set SWATH_HOME to a folder that you can write",
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _try_lock(handle: int, operation: int) -> bool:
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: runs work, and nothing is pruned beside them
        return operation == fcntl.LOCK_SH
    return True
