"""Settings of glibc's memory allocator: pages of freed large arrays are reused instead of returned to the kernel.

A network's intermediate results are tens of megabytes each and live for milliseconds. By default glibc maps memory for each of
them, and the kernel zeroes every page: a third of the processor time of a small U-Net. With reused pages the process stays as large
as its peak, so the memory of what runs in it has to be bounded, as it is for pieces of a region.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
SETTINGS = {
    # One arena for all threads: calls on Dask do not run in the main thread, and glibc gives other threads arenas of
    # 64 MiB, to which the other two settings do not apply. It has to be set before the first thread starts.
    ARENA_MAX: 1,
    MMAP_THRESHOLD: 1 << 30,
    TRIM_THRESHOLD: (1 << 31) - 1,
}


def keep_pages() -> bool:
    """Set the C library of this process, and of those forked from it, to reuse freed pages.

    Returns whether it did: only glibc has these settings.
    """
    if not _glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [mallopt(ctypes.c_int(parameter), ctypes.c_int(value)) == 1 for parameter, value in SETTINGS.items()]
    return all(accepted)


def _glibc() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl has no such name
        return False
