"""Records what an input must not do: write or remove a file outside of its folder, connect, start a process, import its code.

Python's audit events show this for Python code. Libraries in C are seen by what they leave: see `left_files`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CANARY = "swath_attack_canary"
"""A module in the folder of every input. Nothing may import it."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate", "os.utime",
    "os.setxattr", "shutil.rmtree", "shutil.move", "shutil.copyfile",
}  # fmt: skip
_PROCESSES = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
}
_CONNECTIONS = {"socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"}


class Guard:
    """An audit hook, which cannot be removed again: for a process of its own."""

    def __init__(self, writable: Path, host: tuple[str, int] | None, may_start: Callable[[str, Any], bool]) -> None:
        """writable: the folder that may be written. host: the only one that may be connected to. may_start: whether an event of a
        process, with its arguments, is allowed."""
        self._writable, self._host, self._may_start = str(writable) + os.sep, host, may_start
        self._active = False
        self._busy = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[str]]:
        """What happens inside that must not; the list is filled while it happens."""
        self.seen = []
        self._active = True
        try:
            yield self.seen
        finally:
            self._active = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active or self._busy:
            return
        self._busy = True
        try:
            wrong = self._wrong(event, arguments)
        finally:
            self._busy = False
        if wrong:
            self.seen.append(wrong)
            raise PermissionError(wrong)

    def _wrong(self, event: str, arguments: tuple[Any, ...]) -> str:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and not self._inside(path):
                return f"opened {path!r} for writing"
        elif event in _CHANGES:
            if not all(self._inside(each) for each in arguments if isinstance(each, (str, bytes, os.PathLike))):
                return f"{event} of {arguments!r}"
        elif event in _CONNECTIONS:
            address = arguments[:2] if "addr" in event or "name" in event else arguments[1]
            if not isinstance(address, tuple) or self._host is None or tuple(address[:2]) != self._host:
                return f"{event} to {address!r}"
        elif event in _PROCESSES:
            if not self._may_start(event, arguments):
                return f"{event} of {arguments!r}"
        elif event == "import" and arguments[0].partition(".")[0] == CANARY:
            return f"imported {arguments[0]}"
        return ""

    def _inside(self, path: Any) -> bool:
        if isinstance(path, int):  # an open descriptor
            return True
        text = os.fsdecode(path)
        return text == os.devnull or os.path.realpath(text).startswith(self._writable)


def left_files(folder: Path, known: set[Path]) -> list[str]:
    """Files below a folder that were not there before."""
    return [str(path.relative_to(folder)) for path in sorted(set(folder.rglob("*")) - known)]
