"""The recorder of a run: collects what happens, writes it to the journal once a turn, and then emits the events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from swath.graph.graph import Node

LAST_ITEM = 2**62
"""No item has a higher number."""


@dataclass(frozen=True)
class LogLimits:
    """How much of what calls print and log is stored in the journal. Events have all of it."""

    lines: int = 200_000
    """Of one run, with its earlier sessions."""
    characters: int = 16_384
    """Of one line."""


class Recorder:
    """Journals what the engine does and emits it as events. `scrub` takes secrets out of every text that came from a task.

    The event of a finished call is emitted after the journal has the call, so a call that a listener saw is never executed again.
    """

    def __init__(
        self,
        run: str,
        journal: Journal,
        emit: Callable[[Event], None],
        scrub: Callable[[str], str] = str,
        limits: LogLimits = LogLimits(),
    ) -> None:
        self.run = run
        self.scrub = scrub
        self._journal = journal
        self._emit = emit
        self._nodes: dict[str, NodeRow] = {}
        self._calls: list[CallRow] = []
        self._results: list[tuple[str, StoredResult]] = []
        self._logs: list[tuple[float, str, str, str, int | None, str]] = []
        self._resumed = next(journal.calls(run), None) is not None
        """Whether the run has rows of an earlier session, which may be outdated."""
        self._outdated: list[tuple[str, int, int]] = []
        self._limits = limits
        self._lines_left = limits.lines - (journal.log_count(run) if self._resumed else 0)
        """Lines of calls that are still stored; below 0: minus the number of those that were not."""
        self._pending: list[Event] = []
        """Events that are emitted with the next write."""

    def write(self) -> None:
        """Commit what happened since the last write, and emit it."""
        if self._nodes or self._calls or self._logs or self._outdated:
            with self._journal.transaction():
                self._journal.write_nodes(self.run, self._nodes.values())
                self._journal.write_results(self.run, self._results)
                self._journal.delete_calls(self.run, self._outdated)
                self._journal.write_calls(self.run, self._calls)
                self._journal.write_logs(self.run, self._logs)
            for written in (self._nodes, self._calls, self._results, self._logs, self._outdated):
                written.clear()
        events, self._pending = self._pending, []
        for event in events:
            self._emit(event)

    def close(self) -> None:
        """The last write, with the number of lines that were not stored."""
        if self._lines_left < 0:
            self.line(
                "warning", f"{-self._lines_left:,} lines of calls were not stored: a run has {self._limits.lines:,}"
            )
            self._lines_left = 0
        self.write()

    def results_of(self, node: str) -> Iterable[StoredResult]:
        """The results of a node's finished calls, in the order of its items."""
        self.write()
        return self._journal.results_of(self.run, node)

    # --- nodes

    def added(self, nodes: Iterable[Node]) -> None:
        """The nodes of a graph or a step were added; the journal gets each when it opens."""

    def opened(self, row: NodeRow, total: int | None) -> None:
        """A node opened. total: number of its items, if known."""
        self._nodes[row.node] = row
        self._emit_later(
            NodeOpened(time=time.time(), run=self.run, node=row.node, total=total, depth=row.node.count("/"))
        )

    def ended(self, row: NodeRow, count: int | None = None) -> None:
        """A node is done, skipped or failed. count: number of its items."""
        self._nodes[row.node] = row
        if self._resumed and row.state == "done" and count is not None:
            self._outdated.append((row.node, count, LAST_ITEM))
        self._emit_later(NodeDone(time=time.time(), run=self.run, node=row.node, state=row.state))

    # --- calls

    def set_aside(self, node: str, item: int) -> None:
        """An item ended without a result: the one that it may have had in an earlier session is outdated."""
        if self._resumed:
            self._outdated.append((node, item, item))

    def reused(self, node: str, item: int | None, key: str, result: StoredResult) -> None:
        """A call was not executed: its result is that of an earlier call."""
        now = time.time()
        self._calls.append(CallRow(node, item, key, "reused", 0, "", now, 0.0, "", ""))
        self._emit_later(CallDone(time=now, run=self.run, node=node, item=item, worker="", seconds=0.0, reused=True))

    def done(self, call: Call, outcome: CallOutcome, result: StoredResult, batch: BatchResult) -> None:
        """A call has its result."""
        now, node, item = time.time(), call.context.node, call.mapped_item
        self._calls.append(
            CallRow(
                node, item, call.key, "done", call.attempt, batch.worker, now, outcome.seconds, "", "", outcome.cpu_s,
                batch.memory,
            )
        )  # fmt: skip
        self._results.append((call.key, result))
        self._emit_later(
            CallDone(time=now, run=self.run, node=node, item=item, worker=batch.worker, seconds=outcome.seconds)
        )

    def step(self, node: str, item: int, key: str, result: StoredResult) -> None:
        """An item of a mapped step has its result: it is journalled like a call's, so that the step can be read as a whole."""
        now = time.time()
        self._calls.append(CallRow(node, item, key, "step", 0, "", now, None, "", ""))
        self._results.append((key, result))
        self._emit_later(StepDone(time=now, run=self.run, node=node, item=item))

    def retried(self, call: Call, outcome: CallOutcome, worker: str, delay_s: float) -> None:
        """A call failed and will be retried."""
        self._row(call.context.node, call.mapped_item, call.key, "retried", call.attempt, outcome, worker)
        again = f"attempt {call.attempt} failed, again in {delay_s:.1f} s: {outcome.error}"
        self._logs.append((time.time(), "warning", again, call.context.node, call.mapped_item, worker))
        self._emit_later(
            CallRetried(
                time=time.time(), run=self.run, node=call.context.node, item=call.mapped_item, error=outcome.error,
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
        self._emit_later(
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

    # --- output

    def _emit_later(self, event: Event) -> None:
        """Emit an event after the next write."""
        self._pending.append(event)

    def _emit_now(self, event: Event) -> None:
        """Emit an event that needs no row in the journal; after those that are pending, so that the order stays."""
        (self._pending.append if self._pending else self._emit)(event)

    def output(self, output: CallOutput) -> None:
        """A line or a report that came out of a call while it ran."""
        where: dict[str, Any] = {"time": output.time, "run": self.run, "node": output.node, "item": output.item}
        if output.level == "started":
            self._emit_now(CallStarted(**where, worker=output.worker, attempt=output.attempt))
        elif output.level == "progress":
            finished = CallProgress(
                **where, done=output.done, total=output.total, pixels=output.pixels, ground_km2=output.ground_km2
            )
            self._emit_now(finished)
        elif output.level == "metrics":
            self._emit_now(CallMetrics(**where, values=json.loads(output.text)))
        else:
            text = self.scrub(output.text)
            self._store_line(output, text)
            self._emit_now(Log(**where, level=output.level, text=text, worker=output.worker))

    def _store_line(self, output: CallOutput, text: str) -> None:
        """Store a line of a call, within the limits: a task that prints in a loop must not fill the disk."""
        if self._lines_left == 0:
            limit = f"the run has stored {self._limits.lines:,} lines: what calls print from now on is not stored"
            self._logs.append((output.time, "warning", limit, "", None, ""))
        self._lines_left -= 1
        if self._lines_left < 0:
            return
        more = len(text) - self._limits.characters
        if more > 0:
            text = f"{text[: self._limits.characters]} ... ({more:,} more characters)"
        self._logs.append((output.time, output.level, text, output.node, output.item, output.worker))

    def line(self, level: str, text: str, node: str = "") -> None:
        """A log line of the engine itself."""
        now = time.time()
        self._logs.append((now, level, text, node, None, ""))
        self._emit_now(Log(time=now, run=self.run, level=level, text=text, node=node))

    def stopping(self, reason: str) -> None:
        """A signal, a cancel or a time limit asked the run to stop."""
        self._emit_now(RunStopping(time=time.time(), run=self.run, reason=reason))
