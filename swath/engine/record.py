"""The record of a run: what happens is told to the readers at once, and written to the journal together, once a turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from swath.engine.journal import CallRow, Journal
from swath.engine.store import Stored
from swath.engine.work import Outcome, Said
from swath.events import (
    CallDone,
    CallFailed,
    CallProgress,
    CallRetried,
    CallStarted,
    Event,
    Log,
    NodeDone,
    NodeOpened,
    RunStopping,
)


class Record:
    """Tells and writes down what the engine does. `scrub` takes secrets out of every text that came from a task."""

    def __init__(
        self, run: str, journal: Journal, emit: Callable[[Event], None], scrub: Callable[[str], str] = str
    ) -> None:
        self.run = run
        self.scrub = scrub
        self._journal = journal
        self._emit = emit
        self._unwritten: list[Callable[[], None]] = []

    def write(self) -> None:
        """Commit what happened since the last time."""
        if self._unwritten:
            with self._journal.transaction():
                for write in self._unwritten:
                    write()
            self._unwritten.clear()

    def opened(self, node: str, total: int | None, depth: int) -> None:
        self._emit(NodeOpened(time=time.time(), run=self.run, node=node, total=total, depth=depth))

    def ended(self, node: str, state: str) -> None:
        self._emit(NodeDone(time=time.time(), run=self.run, node=node, state=state))

    def reused(self, node: str, item: int | None, key: str) -> None:
        self._row(CallRow(node, item, key, "reused", 0, "", time.time(), 0.0, "", ""))
        self._emit(CallDone(time=time.time(), run=self.run, node=node, item=item, worker="", seconds=0.0, reused=True))

    def done(self, node: str, item: int | None, key: str, attempt: int, outcome: Outcome, stored: Stored) -> None:
        self._call(node, item, key, "done", attempt, outcome)
        self._unwritten.append(lambda: self._journal.write_results(self.run, [(key, stored)]))
        seconds, worker = outcome.seconds, outcome.worker
        self._emit(CallDone(time=time.time(), run=self.run, node=node, item=item, worker=worker, seconds=seconds))

    def retried(self, node: str, item: int | None, key: str, attempt: int, outcome: Outcome, delay_s: float) -> None:
        self._call(node, item, key, "retried", attempt, outcome)
        self._emit(
            CallRetried(
                time=time.time(),
                run=self.run,
                node=node,
                item=item,
                error=outcome.error,
                attempt=attempt,
                delay_s=delay_s,
            )
        )

    def failed(self, node: str, item: int | None, key: str, attempt: int, outcome: Outcome) -> None:
        self._call(node, item, key, "failed", attempt, outcome)
        self._emit(
            CallFailed(
                time=time.time(), run=self.run, node=node, item=item, error=outcome.error, attempt=attempt,
                traceback=outcome.traceback,
            )
        )  # fmt: skip

    def said(self, said: Said, node: str, item: int | None, attempt: int) -> None:
        """A line or a report that came out of a call while it ran."""
        where: dict[str, Any] = {"time": said.time, "run": self.run, "node": node, "item": item}
        if said.level == "started":
            self._emit(CallStarted(**where, worker=said.worker, attempt=attempt))
        elif said.level == "progress":
            self._emit(CallProgress(**where, done=said.done, total=said.total, pixels=said.pixels))
        else:
            text = self.scrub(said.text)
            self._unwritten.append(
                lambda: self._journal.write_log(self.run, said.time, said.level, text, node, item, said.worker)
            )
            self._emit(Log(**where, level=said.level, text=text, worker=said.worker))

    def stopping(self, reason: str) -> None:
        self._emit(RunStopping(time=time.time(), run=self.run, reason=reason))

    def _call(self, node: str, item: int | None, key: str, state: str, attempt: int, outcome: Outcome) -> None:
        self._row(
            CallRow(
                node, item, key, state, attempt, outcome.worker, time.time(), outcome.seconds, outcome.error, outcome.traceback
            )
        )  # fmt: skip

    def _row(self, row: CallRow) -> None:
        self._unwritten.append(lambda: self._journal.write_calls(self.run, [row]))
