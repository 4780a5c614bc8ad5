"""The folder of the fork server's socket: one per process, swept after kills.

It takes the place of the `pymp-*` folder of Python's multiprocessing, which stays for ever when its process is killed. It is below the
folder for temporary files, because the path of a socket has to be short.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing.process
import os
import shutil
import socket
import stat
import tempfile
from multiprocessing import util
from pathlib import Path
from typing import Any

from swath.engine.process import Process, pid_space

_PATH_BYTES = 107
"""unix(7): most bytes of a socket's path."""
_SOCKET_BYTES = len("/listener-12345678")
_ATTEMPTS = 5
_TICKS = 100
"""Per second, of the process start times in folder names, which are whole numbers."""


def use_socket_folder() -> None:
    """Have multiprocessing create the sockets of this process in a folder that `sweep_socket_folders` finds after a kill.

    Does nothing where multiprocessing has its folder already, or no such folder can be created: then Python's own is used.
    """
    config: dict[str, Any] = vars(multiprocessing.process.current_process()).setdefault("_config", {})
    if config.get("tempdir") is not None:
        return
    sweep_socket_folders()
    process = Process.this()
    with contextlib.suppress(OSError):
        folder = _users_folder() / f"{_space()}.{process.pid}.{round(process.started * _TICKS)}"
        if len(os.fsencode(folder)) + _SOCKET_BYTES <= _PATH_BYTES and _created(folder):
            config["tempdir"] = str(folder)
            util.Finalize(None, _remove, args=(str(folder), config), exitpriority=-100)


def sweep_socket_folders() -> None:
    """Remove the folders of this user's processes on this machine that have ended."""
    with contextlib.suppress(OSError):
        folder = _users_folder()
        if not _is_own(folder):
            return
        for each in folder.iterdir():
            space, *parts = each.name.split(".")
            if space != _space() or len(parts) != 2 or not all(part.isdecimal() for part in parts):
                continue
            if Process(socket.gethostname(), int(parts[0]), int(parts[1]) / _TICKS).gone():
                shutil.rmtree(each, ignore_errors=True)
        folder.rmdir()


def _users_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"swath-sockets-{os.getuid()}"


def _space() -> str:
    """Short name of where a pid means one process: a host, its boot and a pid namespace."""
    return hashlib.sha256(f"{socket.gethostname()} {pid_space()}".encode()).hexdigest()[:8]


def _created(folder: Path) -> bool:
    """Create a folder of this process. False where the folder that it belongs in is somebody else's. Raises OSError."""
    for _ in range(_ATTEMPTS):
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        if not _is_own(folder.parent):
            return False
        with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty parent
            folder.mkdir(mode=0o700, exist_ok=True)
            return True
    return False


def _is_own(folder: Path) -> bool:
    """Whether a path is a real folder that only this user can write: others may create names in the folder for temporary files."""
    try:
        info = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o022


def _remove(folder: str, config: dict[str, Any]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    config["tempdir"] = None
    with contextlib.suppress(OSError):  # another process has a folder in it
        os.rmdir(os.path.dirname(folder))  # noqa: PTH106, PTH120 -- at the interpreter's end
