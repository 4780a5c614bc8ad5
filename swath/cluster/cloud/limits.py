"""Timings of how the machines of a cluster are watched, repaired and scaled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from swath.cluster.workers.autoscaling import ScalingLimits

POLL = "SWATH_CLOUD_PACE_S"
"""Environment variable that sets `poll_s`, for simulated clouds. How often machines are looked at, and what follows from it, shrinks
with it."""


@dataclass(frozen=True)
class RepairLimits:
    """When a machine counts as lost, and when no more machines are launched. In seconds."""

    poll_s: float = 5.0
    """Between two listings of the machines."""
    unlisted_s: float = 15.0
    """A machine may be missing in listings for so long after its launch."""
    silent_s: float = 30.0
    """A machine all of whose processes have been gone for so long is replaced."""
    boot_s: float = 420.0
    """A worker machine that has no process at the scheduler for so long after its launch is replaced. Installing Docker at boot takes
    minutes."""
    unanswered_s: float = 60.0
    """Without a heartbeat for so long, a machine is asked whether it is there, and replaced when it does not answer."""
    answer_s: float = 20.0
    """For that answer, and for those of the scheduler."""
    stragglers_s: float = 60.0
    """When the first machines of a fixed number are up, the others are waited for so long before the run starts without them."""
    unreached_s: float = 20.0
    """A scheduler that listens, as its console says, has to be reached within this."""
    reconnect_s: float = 60.0
    """For a new connection to the scheduler when one was lost."""
    pause_s: float = 1.0
    """Before a launch after a failure; doubled with each further one in a row."""
    max_pause_s: float = 60.0
    failures: int = 3
    """In a row; after these the run ends when it has no machine."""
    max_failures: int = 10
    """In a row; after these no more machines are launched, and the run goes on with those that it has."""

    @classmethod
    def from_environment(cls) -> Self:
        """The defaults; shorter ones where POLL is set."""
        real = cls()
        scale = float(os.environ.get(POLL) or real.poll_s) / real.poll_s
        return cls(
            poll_s=real.poll_s * scale,
            unlisted_s=real.unlisted_s * scale,
            silent_s=real.silent_s * scale,
            stragglers_s=real.stragglers_s * scale,
            pause_s=real.pause_s * scale,
        )

    @property
    def scaling(self) -> ScalingLimits:
        """Of the autoscaler: a machine starts slowly, and at least a minute of it is paid for."""
        return ScalingLimits(worth_s=12 * self.poll_s, idle_s=24 * self.poll_s)
