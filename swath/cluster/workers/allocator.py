"""How this process takes memory: freed pages of large arrays are kept for the next ones, instead of given back and taken anew.

A network's intermediate results are tens of megabytes each and live for milliseconds. glibc maps each of them freshly, and the
kernel zeroes every page again: a third of the processor time of a small U-Net. Kept pages make the process's peak
its size from then on, so what runs in it has to be bounded, as pieces of a region are.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
SETTINGS = {
    # One arena for all threads: calls on Dask do not run in the main thread, and glibc gives other threads arenas of
    # 64 MiB, to which the two others do not apply. So this has to come before the first thread.
    ARENA_MAX: 1,
    MMAP_THRESHOLD: 1 << 30,
    TRIM_THRESHOLD: (1 << 31) - 1,
}


def keep_pages() -> bool:
    """Set the C library of this process, and of those that are forked from it, to keep freed pages.

    Whether it did: only glibc is known to have these settings. Elsewhere nothing is changed.
    """
    if not _glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(ctypes.c_int(parameter), ctypes.c_int(value)) == 1 for parameter, value in SETTINGS.items()]
    return all(taken)


def _glibc() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl has no such name
        return False
