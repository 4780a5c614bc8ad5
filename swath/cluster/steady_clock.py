"""A clock for limits and costs that does not jump when the clock of this machine is set."""

from __future__ import annotations

import time

_OFFSET_S = time.time() - time.monotonic()


def steady_time() -> float:
    """Seconds since 1970 by this machine's clock when this process began, and by its monotonic clock since then."""
    return _OFFSET_S + time.monotonic()
