"""The disk of the state folder: whether it is a network file system, and whether it has free space."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePath

from swath.errors import StateError

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's table of mounts; other systems have no such file."""
MIN_FREE_BYTES = 8 * 2**20
"""Bytes that must be free before a run begins: the journal's write-ahead log alone soon needs as much."""
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "beegfs", "ceph", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("ocfs2", "orangefs", "pvfs2", "virtiofs", "vboxsf", "wekafs"),
        *(f"fuse.{name}" for name in ("s3fs", "sshfs", "gcsfuse", "goofys", "glusterfs", "rclone", "juicefs", "ceph")),
    )
)
"""File systems that several hosts can have mounted at once: SQLite's WAL needs memory that all its users share."""


def network_file_system(folder: Path, mounts: Path | None = None) -> str:
    """The kind of network file system that a folder is on, such as `nfs4`; empty when it is on none or that is not known.

    `mounts` is the table of mounts, MOUNTS when left out.
    """
    try:
        table = (mounts or MOUNTS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind = file_system_of(folder.resolve(), table)
    return kind if kind in NETWORK_FILE_SYSTEMS else ""


def file_system_of(path: PurePath, mounts: str) -> str:
    """The kind of file system that an absolute path is on, by the text of mountinfo (see proc(5)); empty when it names none."""
    found, depth = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        place = PurePath(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if path.is_relative_to(place) and len(place.parts) >= depth:  # of two on one place, the later hides the earlier
            found, depth = after.split(" ")[0], len(place.parts)
    return found


def check_free_space(folder: Path, least_bytes: int = MIN_FREE_BYTES) -> None:
    """Raise StateError when the disk of a folder is nearly full."""
    free = shutil.disk_usage(folder).free
    if free < least_bytes:
        raise StateError(
            f"the disk of the state folder {folder} is full: {free / 2**20:.1f} MB are free,"
            f" a run needs {least_bytes >> 20} MB to begin",
            remedy="free some space (`pipe prune` shows what old runs hold), or set SWATH_HOME to another disk",
        )
