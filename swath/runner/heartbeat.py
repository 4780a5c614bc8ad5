"""The heartbeat of a run: a thread that keeps writing down that the run's process is there, whatever the run is busy with."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from swath.engine.journal import Journal
from swath.errors import StateError

BEAT_S = 5.0
"""Three of them fit into the silence after which a run of another host is taken for crashed."""
PATIENCE_S = 1.0
"""How long a beat waits for a journal that another process holds; the next one tries again."""


@contextlib.contextmanager
def beating(state: Path, run: str, every_s: float = BEAT_S) -> Iterator[None]:
    """Inside, the run's heartbeat is written every so many seconds. Never blocks the run, nor fails it."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            # A connection for each beat: nothing is held in between, and a journal that was away is found again.
            with contextlib.suppress(StateError), Journal.open(state, lock_timeout_s=PATIENCE_S) as journal:
                journal.write_heartbeat(run)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2 * PATIENCE_S)
