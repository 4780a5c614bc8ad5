"""Termination of all machines of a run, until the cloud lists none of them for some time: listings lag behind requests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import Machine
from swath.errors import SwathError, TeardownError

EMPTY_FOR, GIVE_UP = "SWATH_CLOUD_QUIET_S", "SWATH_CLOUD_WITHIN_S"
"""Environment variables with fewer seconds for the two limits, for simulated clouds."""


@dataclass(frozen=True)
class RemovalLimits:
    """How long listings are awaited, in seconds."""

    empty_for_s: float = 5.0
    """Listings have to be empty for so long. EC2 and Compute Engine list a machine some seconds after its launch."""
    give_up_s: float = 300.0
    """After so long, what is left is an error."""
    min_wait_s: float = 0.5
    """Between two listings."""
    max_wait_s: float = 10.0
    """Between two listings, while the cloud does not answer: the wait doubles up to this."""

    def within_environment(self) -> Self:
        """These limits, or shorter ones where the environment has them."""
        return replace(
            self,
            empty_for_s=min(self.empty_for_s, float(os.environ.get(EMPTY_FOR) or self.empty_for_s)),
            give_up_s=min(self.give_up_s, float(os.environ.get(GIVE_UP) or self.give_up_s)),
        )


def remove_all(
    fleet: Fleet,
    run: str,
    *,
    limits: RemovalLimits | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Terminate every machine with a run's label, in whatever state it is. Returns how many there were.

    `limits` are by default those of the environment. Raises TeardownError, with ids, places and commands that terminate them,
    when some are left or the cloud does not answer.
    """
    limits = limits or RemovalLimits().within_environment()
    deadline = time.monotonic() + limits.give_up_s
    seen: set[str] = set()
    left: list[Machine] = []
    empty_since: float | None = None
    wait_s, failure = limits.min_wait_s, ""
    while True:
        try:
            left = fleet.machines(run)
            if left:
                empty_since = None
                fleet.terminate(left)
            failure, wait_s = "", limits.min_wait_s
        except SwathError as error:
            empty_since = None
            wait_s = min(2 * wait_s, limits.max_wait_s)
            if error.message != failure:
                say(f"machines could not be removed yet: {error.message}")
            failure = error.message
        now = time.monotonic()
        seen |= {machine.id for machine in left}
        if not left and not failure:
            if empty_since is None:
                empty_since = now
            elif now - empty_since >= limits.empty_for_s:
                return len(seen)
        elif now > deadline:
            raise not_confirmed(fleet, run, left, failure)
        time.sleep(min(wait_s, limits.empty_for_s / 2) if empty_since is not None else wait_s)


def not_confirmed(fleet: Fleet, run: str, left: list[Machine], failure: str = "") -> TeardownError:
    """The error for machines that may still exist."""
    reason = f": {failure}" if failure else ""
    if not left:
        return TeardownError(
            f"it is not known whether machines of {run} are left in {fleet.kind} {fleet.place}{reason}",
            remedy="`pipe sweep --yes` looks again and removes them; they also end by themselves at their time limit",
        )
    named = ", ".join(f"{machine.name} ({machine.id}, {machine.place}, {machine.state})" for machine in left)
    commands = "\n  ".join(fleet.removal_command(machine) for machine in left)
    return TeardownError(
        f"{len(left)} {'machine was' if len(left) == 1 else 'machines were'} not confirmed gone: {named}{reason}",
        remedy=f"`pipe sweep --yes` tries again; by hand:\n  {commands}",
    )
