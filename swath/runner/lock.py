"""What runs hold as long as they live: one run per output, and a state folder whose results are in use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from swath.engine.process import Process
from swath.errors import Locked, StateError

PRUNE_PATIENCE_S = 60.0
"""How long a run waits at its start for a `pipe prune` to let go; it does so every second."""


@contextlib.contextmanager
def locked(output: str, run: str) -> Iterator[None]:
    """Hold the lock of a local output folder. Raises Locked, naming the holder, when another run has it.

    The operating system lets go when the process ends, however it ends; a file that was left behind holds nothing.
    """
    folder = Path(output)
    file = folder.parent / f".{folder.name}.lock"
    handle = _only(file, output)
    try:
        me = Process.this()
        with contextlib.suppress(OSError):  # on a full disk the lock holds as well, only without a name
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"run": run, "host": me.host, "pid": me.pid}).encode())
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _only(file: Path, output: str) -> int:
    """The open lock file, locked."""
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StateError(
                f"the output folder {file.parent} cannot be written: {error}", remedy="choose another output.to"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(file, handle):
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


def _is(file: Path, handle: int) -> bool:
    """Whether an open file is still the one with that name."""
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(file: Path) -> str:
    try:
        found = json.loads(file.read_text())
        return f"{found['run']} (process {found['pid']} on {found['host']})"
    except (OSError, ValueError, KeyError):
        return "its name could not be read"


@contextlib.contextmanager
def in_use(state: Path) -> Iterator[None]:
    """Inside, no result that the state folder keeps is pruned. Any number of runs may be inside at once.

    Waits for a pruning to let go, and raises Locked when it does not.
    """
    with _open(state) as handle:
        until = time.monotonic() + PRUNE_PATIENCE_S
        while not _try(handle, fcntl.LOCK_SH):
            if time.monotonic() > until:
                raise Locked(f"results in {state} are being pruned", remedy="wait for `pipe prune` to end, or end it")
            time.sleep(0.05)
        yield


@contextlib.contextmanager
def unused(state: Path) -> Iterator[bool]:
    """Inside, no run may begin to use the state folder. Gives False, and holds nothing, when a run uses it already."""
    with _open(state) as handle:
        yield _try(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def _open(state: Path) -> Iterator[int]:
    try:
        state.mkdir(parents=True, exist_ok=True)
        handle = os.open(state / "runs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(
            f"the state folder {state} cannot be written: {error}",
            remedy="set SWATH_HOME to a folder that you can write",
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _try(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: runs go on, and nothing is pruned beside them
        return how == fcntl.LOCK_SH
    return True
