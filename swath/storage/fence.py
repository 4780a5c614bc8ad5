"""The fence of a run that a server may give to another machine: nothing is published by an attempt that was given up.

The supervisor of the run keeps a file up to date; the run looks at it before it publishes. A run without a supervisor has no fence.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from swath.errors import StateError

log = logging.getLogger(__name__)
VARIABLE = "SWATH_FENCE"
"""Environment variable with the path of the file."""


@dataclass(frozen=True)
class FenceLimits:
    """Times of a fence."""

    poll_s: float = 0.5
    timeout_s: float = 24 * 3600.0
    """How long a publication waits for a server that does not answer."""


def write_fence(file: Path, valid_until: float) -> None:
    """Allow publication until then, by `now`; at once no more with 0. Raises OSError."""
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.write_text(json.dumps(valid_until))
    temporary.replace(file)


def now() -> float:
    """The clock of fences: seconds since this machine was booted, also while it slept, so that a sleeping machine's fence runs out."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def wait_for_fence(limits: FenceLimits = FenceLimits()) -> None:
    """Return when this process may publish: at once without a fence, else once the supervisor has heard of the server lately.

    Raises StateError when another attempt has taken the run's place, and when the server does not answer for a day.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    deadline = time.monotonic() + limits.timeout_s
    told = False
    while True:
        valid_until = _read(Path(path))
        if valid_until == 0:
            raise StateError(
                "another attempt has taken this run's place: nothing is published",
                remedy="the server shows which attempt goes on",
            )
        if now() < valid_until:
            return
        if time.monotonic() > deadline:
            raise StateError(
                f"the server has not answered for {limits.timeout_s / 3600:g} h: nothing is published",
                remedy="`pipe resume` publishes when it is back; finished calls are not repeated",
            )
        if not told:
            log.warning("waiting for the server before publishing: it may have given this run to another machine")
            told = True
        time.sleep(limits.poll_s)


def _read(file: Path) -> float:
    """Until when it is valid; in the past for a file that is not there yet or cannot be read."""
    try:
        return float(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return -1.0
