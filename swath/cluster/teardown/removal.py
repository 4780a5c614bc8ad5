"""Remove a run's machines until the cloud lists none, twice and some time apart: a listing may lag behind what was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from swath.cluster.providers.machine import Fleet, Machine
from swath.errors import SwathError, TeardownError

QUIET_S = 5.0
"""For so long listings have to be empty. EC2 and Compute Engine list a machine within some seconds of its making."""
WITHIN_S = 300.0
"""After so long of trying, what is left is told."""
PACE, PATIENCE = "SWATH_CLOUD_QUIET_S", "SWATH_CLOUD_WITHIN_S"
"""Environment variables that hold fewer seconds, for a cloud which is simulated."""
LEAST_WAIT_S, MOST_WAIT_S = 0.5, 10.0
"""Between two listings; it grows while the cloud does not answer."""


def quiet(seconds: float) -> float:
    """For how long listings of machines have to be empty: `seconds`, unless the environment names less."""
    return min(seconds, float(os.environ.get(PACE) or seconds))


def within(seconds: float) -> float:
    """For how long it is tried: `seconds`, unless the environment names less."""
    return min(seconds, float(os.environ.get(PATIENCE) or seconds))


def remove_all(
    fleet: Fleet,
    run: str,
    *,
    quiet_s: float | None = None,
    within_s: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Remove every machine of a run (by its label), whoever made it and whatever state it is in. How many there were.

    Raises TeardownError, with ids, places and the commands that remove them, when some stay or the cloud does not answer.
    """
    quiet_s = quiet(QUIET_S) if quiet_s is None else quiet_s
    deadline = time.monotonic() + (within(WITHIN_S) if within_s is None else within_s)
    seen: set[str] = set()
    left: list[Machine] = []
    quiet_since: float | None = None
    wait, trouble = LEAST_WAIT_S, ""
    while True:
        try:
            left = fleet.machines(run)
            if left:
                quiet_since = None
                fleet.end(left)
            trouble, wait = "", LEAST_WAIT_S
        except SwathError as error:
            quiet_since = None
            wait = min(2 * wait, MOST_WAIT_S)
            if error.message != trouble:
                say(f"machines could not be removed yet: {error.message}")
            trouble = error.message
        now = time.monotonic()
        seen |= {machine.id for machine in left}
        if not left and not trouble:
            if quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= quiet_s:
                return len(seen)
        elif now > deadline:
            raise not_confirmed(fleet, run, left, trouble)
        time.sleep(min(wait, quiet_s / 2) if quiet_since is not None else wait)


def not_confirmed(fleet: Fleet, run: str, left: list[Machine], trouble: str = "") -> TeardownError:
    """What is said of machines of which nobody knows that they are gone."""
    why = f": {trouble}" if trouble else ""
    if not left:
        return TeardownError(
            f"nobody knows whether machines of {run} are left in {fleet.kind} {fleet.place}{why}",
            remedy="`pipe sweep --yes` looks again and removes them; they also end by themselves at their time limit",
        )
    named = ", ".join(f"{machine.name} ({machine.id}, {machine.place}, {machine.state})" for machine in left)
    by_hand = "\n  ".join(fleet.removal(machine) for machine in left)
    return TeardownError(
        f"{len(left)} {'machine was' if len(left) == 1 else 'machines were'} not confirmed gone: {named}{why}",
        remedy=f"`pipe sweep --yes` tries again; by hand:\n  {by_hand}",
    )
