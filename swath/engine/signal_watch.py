"""A watch for signals that Python does not get to handle because the main thread computes in C code, such as a model's.

Python runs the handlers of signals in the main thread, between two of its own instructions. The kernel's signal reaches the process
at once, though, and then the interpreter writes its number into a pipe, from which a thread here reads.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator

_END = 0
"""Is no signal: written into the pipe to end the thread."""
_POLL_S = 0.25
_AGAIN_S = 1.0
"""Until `late` is called again, when it returned and the signal is still not heard."""


@contextlib.contextmanager
def watching(
    numbers: Collection[int],
    limit_s: Callable[[int, bool], float],
    heard_at: Callable[[], float],
    late: Callable[[int, bool], None],
) -> Iterator[None]:
    """Inside, call `late(number, again)`, in a thread, when no handler has begun `limit_s(number, again)` after a signal came.

    numbers: of the signals that are watched. heard_at: when a handler began last, by the monotonic clock. again: whether the signal
    came while an earlier one was not heard; `number` is then the earlier one's. In the main thread only.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watch = threading.Thread(
        target=_watch, args=(reading, numbers, limit_s, heard_at, late), name="signal watch", daemon=True
    )
    watch.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, bytes([_END]))  # processes that were forked may hold the other end open
        watch.join()
        os.close(writing)
        os.close(reading)


def _watch(
    reading: int,
    numbers: Collection[int],
    limit_s: Callable[[int, bool], float],
    heard_at: Callable[[], float],
    late: Callable[[int, bool], None],
) -> None:
    waiting: list[int] = []
    """Signals that may not be heard, the earliest first."""
    since = until = time.monotonic()
    looked = since
    """What is read now came after this."""
    while True:
        left = min(_POLL_S, max(0.0, until - time.monotonic())) if waiting else None
        if select.select([reading], [], [], left)[0]:
            reads = time.monotonic()
            came = os.read(reading, 4096)
            if _END in came or not came:
                return
            for number in came:
                if number in numbers:
                    end = time.monotonic() + limit_s(number, bool(waiting))
                    until = min(until, end) if waiting else end
                    waiting.append(number)
                    since = looked
            looked = reads
        if waiting and heard_at() >= since:
            waiting.clear()
            now = time.monotonic()
            if not select.select([reading], [], [], 0)[0]:
                looked = now
        elif waiting and time.monotonic() >= until:
            late(waiting[0], len(waiting) > 1)
            until = time.monotonic() + _AGAIN_S
