"""When a file or folder was created, which Python's os.stat does not say on Linux."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_AT_FDCWD, _BIRTH = -100, 0x800
_BYTES, _MASK_AT, _BIRTH_AT = 256, 0, 80
"""Of struct statx: include/uapi/linux/stat.h."""


def birth_time(path: str) -> int:
    """Nanoseconds since the epoch; 0 where the system or the file system does not know. Follows symbolic links."""
    if sys.platform != "linux":
        return int(getattr(os.stat(path), "st_birthtime", 0) * 1e9)  # noqa: PTH116 - of a text
    try:
        call = ctypes.CDLL(None, use_errno=True).statx
    except AttributeError:  # glibc before 2.28
        return 0
    buffer = ctypes.create_string_buffer(_BYTES)
    if call(_AT_FDCWD, os.fsencode(path), 0, _BIRTH, buffer) != 0:
        return 0
    (mask,) = struct.unpack_from("=I", buffer, _MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BIRTH_AT)
    return seconds * 10**9 + nanoseconds if mask & _BIRTH else 0
