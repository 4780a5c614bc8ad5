"""The heartbeat of a run: a thread that writes the time into the journal while the run's process is there, and reads there
whether somebody asked the run to stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.errors import Interrupted, StateError


@dataclass(frozen=True)
class HeartbeatLimits:
    """Times of a heartbeat."""

    period_s: float = 5.0
    """Three of them fit into the silence after which a run of another host counts as crashed."""
    lock_timeout_s: float = 1.0
    """How long a beat waits for a journal that another process has locked; the next one tries again."""


@contextlib.contextmanager
def heartbeat(state: Path, run: str, stop: Stop, limits: HeartbeatLimits = HeartbeatLimits()) -> Iterator[None]:
    """Inside, the run's heartbeat is written every few seconds, and `stop` gets the request of a `pipe cancel` on any host.
    Never blocks the run, nor fails it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(limits.period_s):
            # A connection for each beat: nothing is locked in between, and a journal that was away is found again.
            with (
                contextlib.suppress(StateError),
                Journal.open(state, lock_timeout_s=limits.lock_timeout_s) as journal,
            ):
                journal.write_heartbeat(run)
                request = journal.cancel_request(run)
                if request is not None:
                    stop.request(Interrupted(str(request)))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2 * limits.lock_timeout_s)
