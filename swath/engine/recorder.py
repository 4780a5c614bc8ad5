"""The record of a run: what happens is written to the journal together, once a turn, and then told to the readers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from swath.engine.call import BatchResult, Call, CallOutcome, CallOutput
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, NodeRow
from swath.engine.stored_result import StoredResult
from swath.events import (
    CallDone,
    CallFailed,
    CallMetrics,
    CallProgress,
    CallRetried,
    CallStarted,
    Event,
    Log,
    NodeDone,
    NodeOpened,
    RunStopping,
    StepDone,
)

LAST = 2**62
"""No item has a higher number."""


class Recorder:
    """Writes down and tells what the engine does. `scrub` takes secrets out of every text that came from a task.

    A call is told to be done when the journal has it, so what a reader has heard of is never made again.
    """

    def __init__(
        self, run: str, journal: Journal, emit: Callable[[Event], None], scrub: Callable[[str], str] = str
    ) -> None:
        self.run = run
        self.scrub = scrub
        self._journal = journal
        self._emit = emit
        self._nodes: dict[str, NodeRow] = {}
        self._calls: list[CallRow] = []
        self._results: list[tuple[str, StoredResult]] = []
        self._logs: list[tuple[float, str, str, str, int | None, str]] = []
        self._earlier = next(journal.calls(run), None) is not None
        """Whether the run is taken up again: what it wrote then may not be so any more."""
        self._gone: list[tuple[str, int, int]] = []
        self._untold: list[Event] = []

    def write(self) -> None:
        """Commit what happened since the last time, and tell it."""
        if self._nodes or self._calls or self._logs or self._gone:
            with self._journal.transaction():
                self._journal.write_nodes(self.run, self._nodes.values())
                self._journal.write_results(self.run, self._results)
                self._journal.drop_calls(self.run, self._gone)
                self._journal.write_calls(self.run, self._calls)
                self._journal.write_logs(self.run, self._logs)
            for written in (self._nodes, self._calls, self._results, self._logs, self._gone):
                written.clear()
        told, self._untold = self._untold, []
        for event in told:
            self._emit(event)

    def results_of(self, node: str) -> Iterable[StoredResult]:
        """The results of a node's finished calls, in the order of its items."""
        self.write()
        return self._journal.results_of(self.run, node)

    # --- nodes

    def opened(self, row: NodeRow, total: int | None) -> None:
        """A node begins."""
        self._nodes[row.node] = row
        self._tell(NodeOpened(time=time.time(), run=self.run, node=row.node, total=total, depth=row.node.count("/")))

    def ended(self, row: NodeRow, count: int | None = None) -> None:
        """A node is done, skipped or failed. count: how many items it has."""
        self._nodes[row.node] = row
        if self._earlier and row.state == "done" and count is not None:
            self._gone.append((row.node, count, LAST))
        self._tell(NodeDone(time=time.time(), run=self.run, node=row.node, state=row.state))

    # --- calls

    def set_aside(self, node: str, item: int) -> None:
        """An item has no result, whatever it had when the run began."""
        if self._earlier:
            self._gone.append((node, item, item))

    def reused(self, node: str, item: int | None, key: str) -> None:
        """A call was not made: its result was there."""
        now = time.time()
        self._calls.append(CallRow(node, item, key, "reused", 0, "", now, 0.0, "", ""))
        self._tell(CallDone(time=now, run=self.run, node=node, item=item, worker="", seconds=0.0, reused=True))

    def done(self, call: Call, outcome: CallOutcome, stored: StoredResult, answer: BatchResult) -> None:
        """A call has its result."""
        now, node, item = time.time(), call.common.node, call.number
        self._calls.append(
            CallRow(
                node, item, call.key, "done", call.attempt, answer.worker, now, outcome.seconds, "", "", outcome.cpu_s,
                answer.memory,
            )
        )  # fmt: skip
        self._results.append((call.key, stored))
        self._tell(
            CallDone(time=now, run=self.run, node=node, item=item, worker=answer.worker, seconds=outcome.seconds)
        )

    def step(self, node: str, item: int, key: str, stored: StoredResult) -> None:
        """An item of a mapped step has its result: it is kept like a call's, so that the step can be read as a whole."""
        now = time.time()
        self._calls.append(CallRow(node, item, key, "step", 0, "", now, None, "", ""))
        self._results.append((key, stored))
        self._tell(StepDone(time=now, run=self.run, node=node, item=item))

    def retried(self, call: Call, outcome: CallOutcome, worker: str, delay_s: float) -> None:
        """A call failed and will be made again."""
        self._row(call.common.node, call.number, call.key, "retried", call.attempt, outcome, worker)
        again = f"attempt {call.attempt} failed, again in {delay_s:.1f} s: {outcome.error}"
        self._logs.append((time.time(), "warning", again, call.common.node, call.number, worker))
        self._tell(
            CallRetried(
                time=time.time(), run=self.run, node=call.common.node, item=call.number, error=outcome.error,
                attempt=call.attempt, delay_s=delay_s,
            )
        )  # fmt: skip

    def failed(
        self, node: str, item: int | None, outcome: CallOutcome, attempt: int = 1, key: str = "", worker: str = ""
    ) -> None:
        """A call failed for good."""
        self._row(node, item, key, "failed", attempt, outcome, worker)
        attempts = f" in attempt {attempt}" if attempt > 1 else ""
        self._logs.append((time.time(), "error", f"failed for good{attempts}: {outcome.error}", node, item, worker))
        self._tell(
            CallFailed(
                time=time.time(), run=self.run, node=node, item=item, error=outcome.error, attempt=attempt,
                traceback=outcome.traceback,
            )
        )  # fmt: skip

    def _row(
        self, node: str, item: int | None, key: str, state: str, attempt: int, outcome: CallOutcome, worker: str
    ) -> None:
        self._calls.append(
            CallRow(
                node, item, key, state, attempt, worker, time.time(), outcome.seconds, outcome.error, outcome.traceback,
                outcome.cpu_s,
            )
        )  # fmt: skip

    # --- lines

    def _tell(self, event: Event) -> None:
        """Tell an event with the next write."""
        self._untold.append(event)

    def _tell_now(self, event: Event) -> None:
        """Tell an event of which the journal knows nothing that counts; after those that wait, so that the order is kept."""
        (self._untold.append if self._untold else self._emit)(event)

    def said(self, said: CallOutput) -> None:
        """A line or a report that came out of a call while it ran."""
        where: dict[str, Any] = {"time": said.time, "run": self.run, "node": said.node, "item": said.item}
        if said.level == "started":
            self._tell_now(CallStarted(**where, worker=said.worker, attempt=said.attempt))
        elif said.level == "progress":
            self._tell_now(CallProgress(**where, done=said.done, total=said.total, pixels=said.pixels))
        elif said.level == "metrics":
            self._tell_now(CallMetrics(**where, values=json.loads(said.text)))
        else:
            text = self.scrub(said.text)
            self._logs.append((said.time, said.level, text, said.node, said.item, said.worker))
            self._tell_now(Log(**where, level=said.level, text=text, worker=said.worker))

    def line(self, level: str, text: str, node: str = "") -> None:
        """A line of the engine's own."""
        now = time.time()
        self._logs.append((now, level, text, node, None, ""))
        self._tell_now(Log(time=now, run=self.run, level=level, text=text, node=node))

    def stopping(self, reason: str) -> None:
        """A signal or a cancel was heard."""
        self._tell_now(RunStopping(time=time.time(), run=self.run, reason=reason))
