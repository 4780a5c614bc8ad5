"""Named points of a run at which its process can be signalled on purpose, to see that nothing is lost there.

`SWATH_CRASH_AT=POINT[@N][:SIGNAL]` sends SIGNAL (KILL, TERM, INT or USR1; KILL when none is named) to this very process when it
comes to POINT for the Nth time (the first when none is named). The points, in the order of a run:

    parsing      the spec is read, nothing is written yet
    starting     the cluster is about to be made
    leased       the lease of a cloud cluster is written, no machine is asked for yet
    asking       a machine is about to be asked for
    made         a machine was asked for, and the cloud has said that it is coming
    started      the cluster is up
    running      a call has finished
    publishing   a file of the output is in its place, others are not
    closing      the result is there, the cluster is about to be closed
    ending       the report is written, the journal does not say yet how the run ended
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from swath.errors import UsageError

VARIABLE = "SWATH_CRASH_AT"
POINTS = ("parsing", "starting", "leased", "asking", "made", "started", "running", "publishing", "closing", "ending")
SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT, "USR1": signal.SIGUSR1}

_seen: Counter[str] = Counter()


def reached(point: str) -> None:
    """Say that the run has come to a point. Does nothing unless the environment asks for it."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    wanted, count, number = parse(asked)
    if point == wanted:
        _seen[point] += 1
        if _seen[point] == count:
            os.kill(os.getpid(), number)


def parse(asked: str) -> tuple[str, int, signal.Signals]:
    """(point, which time, signal) of a text such as `running@5:TERM`. Raises UsageError."""
    found = re.fullmatch(r"([a-z]+)(?:@([1-9][0-9]*))?(?::([A-Z0-9]+))?", asked)
    if found is None or found[1] not in POINTS or (found[3] or "KILL") not in SIGNALS:
        raise UsageError(
            f"{VARIABLE}={asked} is not POINT[@N][:SIGNAL]",
            remedy=f"points: {', '.join(POINTS)}; signals: {', '.join(SIGNALS)}",
        )
    return found[1], int(found[2] or 1), SIGNALS[found[3] or "KILL"]
