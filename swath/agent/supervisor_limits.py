"""Times and sizes of a supervisor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SupervisorLimits:
    """Times of a supervisor."""

    poll_s: float = 0.5
    """How often it looks at the run and its journal."""
    stop_s: float = 60.0
    """After a cancel: how long the run has to end before the next, stronger signal."""
    report_s: float = 7 * 24 * 3600.0
    """How long the end is reported to a server that does not answer."""
    most_pause_s: float = 30.0
    """The longest pause between two tries to reach the server."""
    fence_share: float = 0.8
    """Of the time after which the server gives a silent run to another agent: for so long after a beat the run may publish."""
    batch_bytes: int = 1_000_000
    """Of the log lines in one request, as JSON."""
    batches: int = 10
    """Of log lines, between two beats."""
    lock_s: float = 10.0
    """How long another supervisor of the attempt is waited for, which may be about to end."""
