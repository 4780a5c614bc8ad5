"""One run per output: a lock file beside the output folder, held as long as the process lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from swath.engine.process import Process
from swath.errors import Locked, StateError


@contextlib.contextmanager
def locked(output: str, run: str) -> Iterator[None]:
    """Hold the lock of a local output folder. Raises Locked, naming the holder, when another run has it.

    The operating system lets go when the process ends, however it ends; a file that was left behind holds nothing.
    """
    folder = Path(output)
    file = folder.parent / f".{folder.name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(
            f"the output folder {folder.parent} cannot be written: {error}", remedy="choose another output.to"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"another run writes to {output}: {_holder(file)}",
                remedy="wait for it, `pipe cancel` it, or choose another output.to",
            ) from None
        me = Process.this()
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"run": run, "host": me.host, "pid": me.pid}).encode())
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _holder(file: Path) -> str:
    try:
        found = json.loads(file.read_text())
        return f"{found['run']} (process {found['pid']} on {found['host']})"
    except (OSError, ValueError, KeyError):
        return "its name could not be read"
