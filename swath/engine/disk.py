"""The disk of the state folder: of which kind it is, and whether it has room for more work."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePath

from swath.errors import StateError

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux lists what is mounted; elsewhere there is no such file."""
MIN_FREE_BYTES = 8 * 2**20
"""Bytes that must be free before a run begins: less is used up by the journal's own log at once."""
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "beegfs", "ceph", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("ocfs2", "orangefs", "pvfs2", "virtiofs", "vboxsf", "wekafs"),
        *(f"fuse.{name}" for name in ("s3fs", "sshfs", "gcsfuse", "goofys", "glusterfs", "rclone", "juicefs", "ceph")),
    )
)
"""File systems that several hosts can have mounted at once: SQLite's WAL needs memory that all its users share."""


def network_file_system(folder: Path) -> str:
    """The kind of network file system that a folder lies on, such as `nfs4`; empty when it lies on none, or nobody can say."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind = file_system_of(folder.resolve(), mounts)
    return kind if kind in NETWORK_FILE_SYSTEMS else ""


def file_system_of(path: PurePath, mounts: str) -> str:
    """The file system that an absolute path lies on, by the text of mountinfo (see proc(5)); empty when it names none."""
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


def check_free_space(folder: Path) -> None:
    """Raise StateError when a folder's disk is as good as full."""
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise StateError(
            f"the disk of the state folder {folder} is full: {free / 2**20:.1f} MB are free,"
            f" a run needs {MIN_FREE_BYTES >> 20} MB to begin",
            remedy="free some space (`pipe prune` shows what old runs hold), or set SWATH_HOME to another disk",
        )
