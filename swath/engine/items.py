"""The items of nodes: each becomes a call, is reused from an earlier call, or becomes a step; and what follows when a call ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, cast

from swath.engine.batch_queue import BatchQueue
from swath.engine.batches import Batches
from swath.engine.call import LEFT_OUT, BatchResult, Call, CallOutcome, CallOutput, failed_outcome
from swath.engine.engine_result import CallCounts
from swath.engine.journal import Journal
from swath.engine.node_state import NodeState
from swath.engine.nodes import Nodes
from swath.engine.plain_paths import plain_path
from swath.engine.recorder import Recorder
from swath.engine.store import ResultStore
from swath.engine.stored_args import StoredArgument, load_arguments
from swath.engine.stored_result import DamagedResult, StoreDenied, StoredResult
from swath.errors import StateError, TaskFailed
from swath.graph.graph import Node
from swath.graph.pipeline import Pipeline
from swath.graph.task import Task

FAILURES_TO_GIVE_UP = 10
"""With `on_error: continue`, a node whose first so many calls all failed stops the run: the fault is not in the items."""
LONGEST_RETRY_DELAY_S = 60.0
LOOKUPS = 512
"""So many earlier results are looked up at once, while all of them are found."""
WAITING_NODES = 100
"""While so many nodes with ready items wait for their turn, no further step is begun: it would wait too, in memory."""
LISTED_FAILURES = 1000
"""So many of the calls that were set aside are named in the counts; the journal has all."""


class Items:
    """Starts items and ends calls.

    only_run: the run whose results may be reused; None for those of any run.
    dry_run: returns whether a call without an earlier result is executed; None executes all.
    verify: read each earlier result before it is reused; else one that is damaged is found when it is needed.
    """

    def __init__(
        self,
        nodes: Nodes,
        batches: Batches,
        recorder: Recorder,
        journal: Journal,
        counts: CallCounts,
        *,
        on_error: str,
        only_run: str | None,
        dry_run: Callable[[Call], bool] | None,
        verify: bool = False,
    ) -> None:
        self._nodes = nodes
        self._results = nodes.results
        self._batches = batches
        self._recorder = recorder
        self._journal = journal
        self._counts = counts
        self._on_error = on_error
        self._only_run = only_run
        self._dry_run = dry_run
        self._verify = verify
        self._looked_at: set[Callable[..., Any]] = set()
        """Functions of tasks whose arguments were looked at for plain paths."""
        self._duplicates: dict[str, list[tuple[str, int]]] = {}
        """By the key of every call that is queued or in flight: other items with the same call."""

    # --- starting

    def next_node(self) -> str | None:
        """The node whose items start next; None when all ready ones have to wait."""
        waiting = 0
        slots = self._batches.slots

        def deferred(name: str) -> bool:
            nonlocal waiting
            queue = self._nodes.open[name].queue
            if queue is None:
                return waiting >= WAITING_NODES
            waits = queue.full or queue.must_wait(slots)
            waiting += waits
            return waits

        return self._nodes.ready.first(deferred)

    def start(self, name: str) -> int:
        """Start ready items of a node, as many as its next batch takes. Returns their number."""
        node, state = self._results.nodes[name], self._nodes.open[name]
        ready, queue = self._nodes.ready, state.queue
        if queue is None:
            (item,) = ready.take(name, 1)
            if (arguments := self._arguments(node, state, item)) is not None:
                self._expand(node, cast(Pipeline, node.target), item, arguments[0])
            return 1
        size = self._batches.next_size(queue, ready.ready_count(name))
        items = ready.take(name, max(queue.lookahead, size - len(queue.pending)))
        before = len(queue.pending)
        self._start_calls(node, cast(Task, node.target), state, items, queue)
        queue.lookahead = 1 if len(queue.pending) > before else min(2 * queue.lookahead, LOOKUPS)
        if len(queue.pending) >= size:
            self._batches.submit(queue, size)
        return len(items)

    def _arguments(self, node: Node, state: NodeState, item: int) -> tuple[Any, ...] | None:
        """The positional arguments of an item; None when there is nothing to start: an input was set aside, or the iterator
        ended."""
        if not node.mapped:
            return node.args
        try:
            arguments = self._results.item_arguments(node, state.sources, item)
        except StopIteration:
            self._nodes.end_iterator(node.name, item)
            return None
        if arguments is None:
            self._nodes.end_item(node.name, item, None)
        return arguments

    def _start_calls(self, node: Node, target: Task, state: NodeState, items: Iterable[int], queue: BatchQueue) -> None:
        """Queue the calls of items that have no earlier result."""
        calls = []
        for item in items:
            arguments = self._arguments(node, state, item)
            if arguments is not None:
                args = arguments if node.mapped else self._results.arguments(arguments)
                calls.append(Call(state.context, item, state.call_key(args), args))  # type: ignore[arg-type]  # a task has one
        cached = target.policy.cache
        if cached and calls and target.fn not in self._looked_at:
            self._warn_of_plain_path(node, target, calls[0])
        earlier = self._earlier_results(target, [call.key for call in calls]) if cached else {}
        for call in calls:
            if (found := earlier.get(call.key)) is not None:
                self._reuse(node.name, call.item, call.key, found)
            elif cached and (same := self._duplicates.get(call.key)) is not None:
                same.append((node.name, call.item))
            elif self._dry_run is not None and not self._dry_run(call):
                self._nodes.end_item(node.name, call.item, None)
            else:
                if cached:
                    self._duplicates[call.key] = []
                queue.pending.append(call)

    def _warn_of_plain_path(self, node: Node, target: Task, call: Call) -> None:
        """Warn, once for each task, of an argument that names a file but enters the key as a text."""
        self._looked_at.add(target.fn)
        if target.fn.__module__.partition(".")[0] == "swath":
            return
        for argument in (*call.args, *call.context.kwargs.values()):
            if isinstance(argument, StoredArgument):
                if argument.stored.data is None:
                    continue
                argument = load_arguments(argument, self._results.store)
            if (path := plain_path(argument)) is not None:
                text = (
                    f"{target.name}: {path} is a plain text to its key, so it does not run again when that file changes; make"
                    " the spec's field an InputPath, or return swath.InputFile(path) from the task that finds it"
                )
                self._recorder.line("warning", text, node.name)
                return

    def _earlier_results(self, target: Task, keys: list[str]) -> dict[str, StoredResult]:
        """The results of earlier calls with these keys that are still in the store and still valid."""
        store = self._results.store
        stored = self._journal.results(keys, self._only_run, skip_damaged=self._verify)
        results = list(stored.values())
        there = store.intact(results) if self._verify else store.present(results)
        found = {key: one for (key, one), here in zip(stored.items(), there, strict=True) if here}
        valid = target.policy.valid
        return found if valid is None else {key: one for key, one in found.items() if _is_valid(valid, store, one)}

    def _reuse(self, name: str, item: int, key: str, result: StoredResult) -> None:
        state = self._nodes.open.get(name)
        if state is None:
            return  # its step was given up meanwhile
        self._counts.reused += 1
        state.ended += 1
        self._recorder.reused(name, item if self._results.nodes[name].mapped else None, key, result)
        self._nodes.end_item(name, item, result)

    def _expand(self, node: Node, target: Pipeline, item: int, spec: Any) -> None:
        """Put the graph of a step in the place of its call."""
        spec = self._results.store.get(spec.stored) if isinstance(spec, StoredArgument) else self._results.value(spec)
        try:
            graph = target.build(spec)
        except Exception as error:  # noqa: BLE001 - whatever a project's pipeline raises for this spec, others may be right
            outcome = failed_outcome(error, 0.0)
            if isinstance(error, ValueError):  # such as pydantic's, whose message needs no class name
                outcome = outcome._replace(error=str(error))
            self._set_aside(node.name, item if node.mapped else None, self._scrubbed(outcome))
            self._nodes.end_item(node.name, item, None)
            return
        self._nodes.add_step(node, item, graph)

    # --- ending

    def end_calls(self, result: BatchResult) -> None:
        """Handle the result of a batch."""
        batch = self._batches.complete(result)
        if batch is None:
            return
        for call, outcome in zip(batch.calls, result.outcomes, strict=False):
            self._end_call(call, outcome, result)
        rest = batch.calls[len(result.outcomes) :]
        if result.lost:
            text = f"{result.lost}; its {len(rest)} calls run one by one"
            self._recorder.line("warning", text, batch.calls[0].context.node)
        self._batches.requeue(rest, alone=bool(result.lost))

    def _end_call(self, call: Call, outcome: CallOutcome, batch: BatchResult) -> None:
        node, result = call.context.node, outcome.result
        if outcome.damaged:
            raise DamagedResult(self._recorder.scrub(outcome.error))
        if result is None:
            outcome = self._scrubbed(outcome)
            if outcome.retryable and call.attempt <= call.context.task.policy.retries:
                self._retry(call, outcome, batch.worker)
                return
        state = self._nodes.open.get(node)
        self._counts.executed += 1
        same = self._duplicates.pop(call.key, ())
        if result is not None:
            self._recorder.done(call, outcome, result, batch)
        else:
            self._set_aside(node, call.mapped_item, outcome, call.attempt, call.key, batch.worker)
        if state is not None:
            state.ended += 1
            state.failed += result is None
            self._nodes.end_item(node, call.item, result)
            if state.failed == state.ended == FAILURES_TO_GIVE_UP:
                self._give_up(node, outcome.error)
        for other, item in same:
            if result is not None:
                self._reuse(other, item, call.key, result)
            elif other in self._nodes.open:
                number = item if self._results.nodes[other].mapped else None
                self._set_aside(other, number, outcome, call.attempt, call.key, batch.worker)
                self._nodes.end_item(other, item, None)

    def output(self, output: CallOutput) -> None:
        """Record a line or a report of a call. Raises TaskFailed when it left something out and `on_error` is stop."""
        if output.level != LEFT_OUT:
            self._recorder.output(output)
            return
        self._recorder.output(output._replace(level="warning", text=f"set aside: {output.text}"))
        place = output.node if output.item is None else f"{output.node}[{output.item}]"
        text = self._recorder.scrub(f"{place}: {output.text}")
        if (
            text not in self._counts.left_out and len(self._counts.left_out) < LISTED_FAILURES
        ):  # a retry reports it again
            self._counts.left_out.append(text)
        if self._on_error == "stop":
            raise TaskFailed(text, remedy="on_error: continue sets it aside and goes on")

    def _retry(self, call: Call, outcome: CallOutcome, worker: str) -> None:
        policy = call.context.task.policy
        delay_s = policy.retry_delay_s * 2 ** (call.attempt - 1)
        delay_s = min(LONGEST_RETRY_DELAY_S, delay_s) * random.uniform(0.75, 1.25)
        self._recorder.retried(call, outcome, worker, delay_s)
        self._batches.retry(call._replace(attempt=call.attempt + 1), delay_s)

    def _give_up(self, node: str, error: str) -> None:
        """The first calls of a node all failed: no further ones are made. That ends the run, or the step that the node is in."""
        text = f"the first {FAILURES_TO_GIVE_UP} calls of {node} all failed, the last with: {error}"
        if not self._nodes.in_step(node):
            raise TaskFailed(text, remedy="`pipe logs last --level error` shows them")
        if node in self._nodes.open:
            self._recorder.line("error", f"{text}; the step is given up", node)
            self._nodes.give_up(node)

    def _scrubbed(self, outcome: CallOutcome) -> CallOutcome:
        scrub = self._recorder.scrub
        return outcome._replace(error=scrub(outcome.error), traceback=scrub(outcome.traceback))

    def _set_aside(
        self, node: str, item: int | None, outcome: CallOutcome, attempt: int = 1, key: str = "", worker: str = ""
    ) -> None:
        """Count and record a call that failed for good. Raises when that ends the run."""
        place = node if item is None else f"{node}[{item}]"
        counts = self._counts
        counts.failed += 1
        if len(counts.set_aside) < LISTED_FAILURES:
            counts.set_aside.append(f"{place}: {outcome.error}")
        counts.exit_code = counts.exit_code or outcome.exit_code
        self._recorder.failed(node, item, outcome, attempt, key, worker)
        if outcome.exit_code == StateError.exit_code:  # the disk is full, not the item wrong
            raise StateError(outcome.error)
        if outcome.store_denied:
            raise StoreDenied(outcome.error)
        if self._on_error == "stop":
            remedy = "on_error: continue sets such a call aside and goes on"
            failed = TaskFailed(f"{place}: {outcome.error}", remedy=remedy)
            failed.exit_code = outcome.exit_code
            raise failed


def _is_valid(valid: Callable[[Any], bool], store: ResultStore, result: StoredResult) -> bool:
    try:
        return bool(valid(store.get(result)))
    except Exception:  # noqa: BLE001 - whatever a project's check raises: in doubt the call is executed again
        return False
