"""Named points of a run at which tests send its process a signal, to see that nothing is lost there.

`SWATH_CRASH_AT=POINT[@N][:SIGNAL]` sends SIGNAL (KILL, TERM, INT or USR1; KILL when none is named) to this process when it
reaches POINT for the Nth time (the first when none is named). The points, in the order of a run:

    parsing      the spec is read, nothing is written yet
    starting     the cluster is about to be started
    leased       the lease of a cloud cluster is recorded, no machine is requested yet
    launching    a machine is about to be requested
    launched     a machine was requested, and the cloud has accepted
    moving       a region had no room and is left, nothing is begun in the next
    started      the cluster is up
    running      a call has ended
    publishing   a file of the output is in its final place, others are not
    closing      the graph has its result, the cluster is about to be closed
    ending       the report is written, the end of the run is not in the journal yet

Of a run that a server was asked for:

    claimed      the agent has a run's attempt on its disk, and no supervisor for it yet
    sent         the agent has started an attempt's job, and not written that down
    spawned      the supervisor has started the run's process, and not written that down
    packed       a copy of the journal is on the disk, and not in the bucket
    carried      a copy of the journal is in the bucket, older ones are not removed

Of a server:

    submitted    a run is stored, its answer not sent
    assigned     a run is claimed, its answer not sent
    stored       log lines are stored, the answer not sent
    migrating    some tables are changed, the transaction is open

Of `pipe watch`:

    firing       firings are written, the transaction is open
    fired        firings are stored, their runs not started
    begun        the id of a run is stored, its process is not there
    forked       the process of a run was started
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from swath.errors import UsageError

VARIABLE = "SWATH_CRASH_AT"
POINTS = (
    "parsing",
    "starting",
    "leased",
    "launching",
    "launched",
    "moving",
    "started",
    "running",
    "publishing",
    "closing",
    "ending",
    "claimed",
    "sent",
    "spawned",
    "packed",
    "carried",
    "submitted",
    "assigned",
    "stored",
    "migrating",
    "firing",
    "fired",
    "begun",
    "forked",
)
SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT, "USR1": signal.SIGUSR1}

_seen: Counter[str] = Counter()


def reached(point: str) -> None:
    """The run is at a point. Does nothing unless the environment names it."""
    text = os.environ.get(VARIABLE)
    if not text:
        return
    wanted, count, number = parse(text)
    if point == wanted:
        _seen[point] += 1
        if _seen[point] == count:
            os.kill(os.getpid(), number)


def parse(text: str) -> tuple[str, int, signal.Signals]:
    """(point, which time, signal) of a text such as `running@5:TERM`. Raises UsageError."""
    found = re.fullmatch(r"([a-z]+)(?:@([1-9][0-9]*))?(?::([A-Z0-9]+))?", text)
    if found is None or found[1] not in POINTS or (found[3] or "KILL") not in SIGNALS:
        raise UsageError(
            f"{VARIABLE}={text} is not POINT[@N][:SIGNAL]",
            remedy=f"points: {', '.join(POINTS)}; signals: {', '.join(SIGNALS)}",
        )
    return found[1], int(found[2] or 1), SIGNALS[found[3] or "KILL"]
