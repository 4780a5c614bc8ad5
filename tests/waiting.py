"""Waits for a condition of another process or thread, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], timeout_s: float = 60.0, poll_s: float = 0.02) -> None:
    """Return once the condition is true. Raises AssertionError after timeout_s seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(poll_s)
