"""The engine: makes the calls of a graph in the order in which they become ready, and never makes a finished one again."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import BatchResult, Call, CallBatch, CallOutcome, NodeContext, failure
from swath.engine.code_hash import code_fingerprint
from swath.engine.executors.executor import Executor
from swath.engine.fingerprint import fingerprint, fingerprints_after
from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow
from swath.engine.node_results import ItemSources, NodeResults
from swath.engine.ready_set import ReadySet
from swath.engine.recorder import Recorder
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.stored_args import StoredArgument
from swath.engine.stored_result import StoredResult
from swath.errors import StateError, TaskFailed
from swath.events import Event
from swath.graph.collect import collect
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import SKIPPED, Ref, node_of, path_of
from swath.graph.task import Task

HOPELESS = 10
"""With `on_error: continue`, a node whose first so many calls all failed stops the run: the fault is not in the items."""
LONGEST_DELAY_S = 60.0
TURN = 2000
"""How many items are started before the engine looks up again."""
PATIENCE_S = 0.2
"""How long the engine waits for answers before it looks whether it was asked to stop."""
LOOK = 512
"""So many calls are looked up at once, as long as all are finished already."""
AHEAD = 100
"""While so many nodes inside of steps wait for their turn, no further step is begun: it would wait too, and be held."""
BACKLOG_EVERY_S = 1.0
TOLD = 1000
"""So many of the calls that were set aside are named in the result; the journal has all."""


@dataclass
class CallCounts:
    """What came of the calls until now."""

    executed: int = 0
    reused: int = 0
    """Calls whose result was there already."""
    failed: int = 0
    """Calls that failed for good."""
    set_aside: list[str] = field(default_factory=list)
    """The first of those, as `node[item]: error`; the journal has all."""
    exit_code: int = 0
    """Of the first error that set a call aside; 0 when there was none."""


@dataclass
class EngineResult(CallCounts):
    """How the graph ended."""

    value: StoredResult | None = None
    """Result of the graph; None when it could not be computed or was skipped."""


@dataclass
class _Open:
    """What is held of a node that is open."""

    row: NodeRow
    common: NodeContext | None = None
    group: BatchQueue | None = None
    """Both None of a step."""
    key: Callable[[Any], str] = fingerprint
    """Key of a call, from its positional arguments."""
    walks: ItemSources = ()
    tried: int = 0
    failed: int = 0


@dataclass
class _Step:
    """A graph that stands in the place of a call."""

    node: str
    item: int
    names: list[str]
    unsettled: int


class Engine:
    """Runs one graph once. `fresh` looks at no result of an earlier run; `scrub` takes secrets out of what is told and kept."""

    def __init__(
        self,
        run: str,
        *,
        journal: Journal,
        store: ResultStore,
        emit: Callable[[Event], None],
        stop: Stop,
        on_error: str = "continue",
        fresh: bool = False,
        scrub: Callable[[str], str] = str,
    ) -> None:
        self.counts = CallCounts()
        self._run = run
        self._journal = journal
        self._stop = stop
        self._on_error = on_error
        self._only_run = run if fresh else None
        self._record = Recorder(run, journal, emit, scrub)
        self._ready = ReadySet()
        self._values = NodeResults(store, self._ready, lambda node: self._record.results_of(node))
        self._open: dict[str, _Open] = {}
        self._groups: dict[Any, BatchQueue] = {}
        self._code: dict[Any, str] = {}
        self._numbers = itertools.count(1)
        self._batches: dict[int, tuple[CallBatch, BatchQueue]] = {}
        self._ended: set[str] = set()
        self._singles: deque[Call] = deque()
        """Calls that go alone: their batch was lost."""
        self._delayed: list[tuple[float, int, Call]] = []
        self._same: dict[str, list[tuple[str, int]]] = {}
        """Of every call that was not made yet, by its key: the other calls that are the same."""
        self._steps: dict[str, _Step] = {}
        """By the node that holds a step's result."""
        self._inside: dict[str, _Step] = {}
        """By every node of a step."""
        self._told = time.monotonic()
        self._more = False
        self.on_output = self._record.said
        """What a call said while it ran; the executor hands it over on the engine's own thread."""

    # --- the loop

    def execute(self, graph: Graph, executor: Executor) -> EngineResult:
        """Make every call of `graph`. Raises Stopped when a signal asked to stop, TaskFailed when on_error is stop, and
        InfrastructureError when the cluster is lost; what was finished until then is in the journal."""
        result, _ = self._take(graph, "", 0)
        try:
            while True:
                self._open_nodes()
                self._submit(executor)
                self._record.write()
                if self._ready.finished or self._hopeless(result):
                    break
                for answer in executor.wait(self._patience()):
                    self._settle(answer)
                self._record.write()
                if self._stop.requested is not None:
                    self._record.stopping(self._stop.requested.message)
                    raise self._stop.requested
        finally:
            executor.cancel()
            self._record.write()
        value = self._values.of(result) if self._ready.state(result) == "done" else None
        return EngineResult(**vars(self.counts), value=value)

    def _hopeless(self, result: str) -> bool:
        """Whether there is nothing to go on for, because there will be no result."""
        return self._ready.state(result) == "failed"

    def _patience(self) -> float:
        """How long to wait for answers, in seconds."""
        if self._more:
            return 0.0
        if self._delayed:
            return max(0.0, min(PATIENCE_S, self._delayed[0][0] - time.monotonic()))
        return PATIENCE_S

    def _take(self, graph: Graph, prefix: str, depth: int) -> tuple[str, list[str]]:
        """Take a graph in, and name the single call that holds its result, and all nodes."""
        graph = graph.prefixed(prefix) if prefix else graph
        result = graph.result
        names = {node.name: node for node in graph}
        if isinstance(result, Ref) and not path_of(result) and not names[node_of(result)].mapped:
            holder = node_of(result)
        else:
            holder = f"{prefix}result"
            while holder in names:
                holder += "-2"
            graph = Graph(graph.pipeline, (*graph.nodes, Node(holder, collect, (result,), {})), result)
        self._ready.add(graph, depth)
        self._values.add(graph)
        return holder, [node.name for node in graph]

    # --- nodes

    def _open_nodes(self) -> None:
        while (name := self._ready.openable()) is not None:
            node = self._values.nodes[name]
            takes_skipped = isinstance(node.target, Task) and node.target.takes_skipped
            if self._ready.lost(name):
                self._ready.fail(name)
            elif (self._ready.skipped(name) and not takes_skipped) or not self._values.value(node.when):
                self._ready.skip(name)
            else:
                self._begin(node)
            self._closed(name)

    def _begin(self, node: Node) -> None:
        this = _Open(NodeRow(node.name, "", "", "", "open"))
        if isinstance(node.target, Task):
            fn, policy = node.target.fn, node.target.policy
            kwargs = self._values.arguments(node.kwargs)
            code = self._code.get(fn) or self._code.setdefault(fn, code_fingerprint(fn))
            shared = fingerprint(kwargs)
            prefix = ("call", fn.__module__, node.target.name, code, policy.version, node.mapped, shared)
            this.key = fingerprints_after(prefix if policy.cache else (*prefix, self._run))
            this.row = NodeRow(node.name, code, policy.version, shared, "open")
            this.common = NodeContext(self._run, node.name, node.target, kwargs, self._values.store, node.mapped)
            this.group = self._group_of(node.target)
        count: int | None = 1
        if node.mapped:
            this.walks, count = self._values.walks(node)
        self._open[node.name] = this
        self._ready.open(node.name, count)
        self._record.opened(this.row, self._ready.count(node.name))

    def _closed(self, name: str) -> None:
        """Say that a node ended, when it did, and hand a step's result to its node."""
        state = self._ready.state(name)
        if state in ("waiting", "open"):
            return
        this = self._open.pop(name, None)
        row = this.row if this is not None else NodeRow(name, "", "", "", "")
        if name not in self._ended:
            self._ended.add(name)
            self._values.ended(name)
            self._record.ended(row._replace(state=state), self._ready.count(name))
            for follower in self._ready.followers(name):
                self._closed(follower)
            if (step := self._inside.get(name)) is not None:
                step.unsettled -= 1
        if (step := self._steps.pop(name, None)) is not None:
            self._end_step(step, name, state)
        self._forget(name)

    def _end_step(self, step: _Step, holder: str, state: str) -> None:
        """The node that holds a step's result ended."""
        parent = self._values.nodes[step.node]
        if state == "skipped" and not parent.mapped:
            self._ready.skip(parent.name)
            self._closed(parent.name)
            return
        result = None
        if state != "failed":
            result = self._values.store.put(SKIPPED) if state == "skipped" else self._values.of(holder)
            if parent.mapped:
                self._record.step(parent.name, step.item, fingerprint(("step", result.digest)), result)
        self._end_item(parent.name, step.item, result)

    def _forget(self, name: str) -> None:
        """Let go of a step's nodes when all are settled, so that a million steps need no more memory than a few."""
        step = self._inside.get(name)
        if step is not None and step.unsettled == 0:
            self._ready.forget(step.names)
            self._values.forget(step.names)
            self._ended.difference_update(step.names)
            for inner in step.names:
                del self._inside[inner]

    def _end_item(self, name: str, item: int, result: StoredResult | None) -> None:
        """An item has its result, or was set aside."""
        if result is not None:
            self._values.put(name, item, result)
        else:
            self._record.set_aside(name, item)
        self._ready.settle(name, item, ok=result is not None)
        self._closed(name)

    # --- items

    def _submit(self, executor: Executor) -> None:
        window, slots, batch_s = executor.window, executor.slots, executor.batch_s
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._singles.append(heapq.heappop(self._delayed)[2])
        for _ in range(len(self._singles)):
            if len(self._batches) >= window:
                break
            call = self._singles.popleft()
            group = self._group_of(call.common.task)
            if group.full:
                self._singles.append(call)
            else:
                self._send([call], group, executor)
        for group in self._groups.values():
            if group.due(now, batch_s) and len(self._batches) < window and not group.busy:
                size = group.pace.size(batch_s, len(group.filling), slots)
                self._send(group.filling[:size], group, executor)
                group.since = None
        turn = 0
        self._more = False
        while len(self._batches) < window and (name := self._next(slots)) is not None:
            if turn >= TURN:  # so that a stop is heard, and finished work written, between many reused calls
                self._more = True
                break
            turn += self._start(name, slots, batch_s, executor)
            self._open_nodes()
        for group in self._groups.values():
            while group.filling and len(self._batches) < window and not group.busy:
                size = group.pace.size(batch_s, len(group.filling), slots)
                self._send(group.filling[:size], group, executor)
        self._tell_backlog(executor)
        if not (self._more or self._batches or self._delayed or self._singles or self._ready.finished):
            raise RuntimeError("the engine has nothing to wait for: this is a fault in swath")

    def _group_of(self, target: Task) -> BatchQueue:
        policy = target.policy
        alike = (target.fn, target.name, policy.limit, policy.timeout_s, policy.on_client, str(policy.resources))
        return self._groups.setdefault(alike, BatchQueue(policy.limit))

    def _next(self, slots: int) -> str | None:
        """The node whose items come next."""
        waiting = 0

        def held(name: str) -> bool:
            nonlocal waiting
            group = self._open[name].group
            if group is None:
                return waiting >= AHEAD
            waits = group.full or group.unknown(slots)
            waiting += waits
            return waits

        return self._ready.first(held)

    def _start(self, name: str, slots: int, batch_s: float, executor: Executor) -> int:
        """Start ready items of a node, as many as its next batch takes, and say how many those were."""
        node = self._values.nodes[name]
        if isinstance(node.target, Pipeline):
            (item,) = self._ready.take(name, 1)
            if (items := self._items(node, item)) is not None:
                self._expand(node, node.target, item, items[0])
            return 1
        task = cast(Task, node.target)  # a target is a task or a pipeline
        group = self._group_of(task)
        size = group.pace.size(batch_s, self._ready.left(name), slots)
        taken = self._ready.take(name, max(group.look, size - len(group.filling)))
        before = len(group.filling)
        self._calls(node, task, taken, group)
        group.look = 1 if len(group.filling) > before else min(2 * group.look, LOOK)
        if len(group.filling) >= size:
            self._send(group.filling[:size], group, executor)
        return len(taken)

    def _items(self, node: Node, item: int) -> tuple[Any, ...] | None:
        """The positional arguments of an item; None when there is none to start: it was set aside, or the walk ended."""
        if not node.mapped:
            return node.args
        try:
            items = self._values.items(node, self._open[node.name].walks, item)
        except StopIteration:
            self._ready.ended(node.name, item)
            self._closed(node.name)
            return None
        if items is None:
            self._end_item(node.name, item, None)
        return items

    def _calls(self, node: Node, target: Task, taken: Iterable[int], group: BatchQueue) -> None:
        """Prepare the calls of some items, or take the results of earlier ones."""
        this = self._open[node.name]
        calls = []
        for item in taken:
            items = self._items(node, item)
            if items is not None:
                args = items if node.mapped else self._values.arguments(items)
                calls.append(Call(this.common, item, this.key(args), args))  # type: ignore[arg-type]  # a task has one
        finished = self._finished(target, [call.key for call in calls]) if target.policy.cache else {}
        for call in calls:
            if (found := finished.get(call.key)) is not None:
                self._reuse(node.name, call.item, call.key, found)
            elif not target.policy.cache:
                self._make(call, group)
            elif (same := self._same.get(call.key)) is not None:
                same.append((node.name, call.item))
            else:
                self._same[call.key] = []
                self._make(call, group)

    def _make(self, call: Call, group: BatchQueue) -> None:
        """Put a call into the next batch."""
        group.filling.append(call)

    def _reuse(self, name: str, item: int, key: str, found: StoredResult) -> None:
        if name not in self._open:
            return  # its step was given up meanwhile
        self.counts.reused += 1
        self._open[name].tried += 1
        self._record.reused(name, item if self._values.nodes[name].mapped else None, key)
        self._end_item(name, item, found)

    def _finished(self, target: Task, keys: list[str]) -> dict[str, StoredResult]:
        """The results of earlier calls with these keys that are still there and still hold."""
        store = self._values.store
        found = {key: one for key, one in self._journal.results(keys, self._only_run).items() if store.has(one)}
        valid = target.policy.valid
        return found if valid is None else {key: one for key, one in found.items() if _holds(valid, store, one)}

    def _expand(self, node: Node, target: Pipeline, item: int, spec: Any) -> None:
        """Put the graph of a step in the place of its call."""
        spec = self._values.store.get(spec.stored) if isinstance(spec, StoredArgument) else self._values.value(spec)
        try:
            graph = target.build(spec)
        except Exception as error:  # noqa: BLE001 - whatever a project's pipeline raises for this spec, others may be right
            wrong = failure(error, 0.0)
            if isinstance(error, ValueError):  # as pydantic's are: the message says all
                wrong = wrong._replace(error=str(error))
            self._put_aside(node.name, item if node.mapped else None, self._scrubbed(wrong))
            self._end_item(node.name, item, None)
            return
        prefix = f"{node.name}[{item}]/" if node.mapped else f"{node.name}/"
        holder, names = self._take(graph, prefix, self._ready.depth(node.name))
        self._steps[holder] = step = _Step(node.name, item, names, len(names))
        self._inside.update(dict.fromkeys(names, step))

    # --- batches

    def _send(self, calls: list[Call], group: BatchQueue, executor: Executor) -> None:
        batch = CallBatch(next(self._numbers), tuple(calls), 2 * executor.batch_s)
        if group.filling and calls[0] is group.filling[0]:
            del group.filling[: len(calls)]
        group.sent += 1
        self._batches[batch.id] = batch, group
        executor.submit(batch)

    def _settle(self, answer: BatchResult) -> None:
        if answer.batch not in self._batches:
            return
        batch, group = self._batches.pop(answer.batch)
        group.sent -= 1
        group.pace.learn(len(answer.outcomes), sum(outcome.seconds for outcome in answer.outcomes))
        for call, outcome in zip(batch.calls, answer.outcomes, strict=False):
            self._end_call(call, outcome, answer)
        rest = batch.calls[len(answer.outcomes) :]
        if answer.lost:
            self._record.line(
                "warning", f"{answer.lost}; its {len(rest)} calls are made one by one", batch.calls[0].common.node
            )
            self._singles.extend(rest)
        else:
            group.filling[:0] = rest

    def _end_call(self, call: Call, outcome: CallOutcome, answer: BatchResult) -> None:
        node, policy = call.common.node, call.common.task.policy
        if outcome.result is None:
            outcome = self._scrubbed(outcome)
            if outcome.retryable and call.attempt <= policy.retries:
                self._retry(call, outcome, answer.worker)
                return
        this = self._open.get(node)
        self.counts.executed += 1
        same = self._same.pop(call.key, ())
        if outcome.result is not None:
            self._record.done(call, outcome, outcome.result, answer)
        else:
            self._put_aside(node, call.number, outcome, call.attempt, call.key, answer.worker)
        if this is not None:
            this.tried += 1
            this.failed += outcome.result is None
            self._end_item(node, call.item, outcome.result)
            if this.failed == this.tried == HOPELESS:
                self._give_up(node, outcome.error)
        for other, item in same:
            if outcome.result is not None:
                self._reuse(other, item, call.key, outcome.result)
            elif other in self._open:
                number = item if self._values.nodes[other].mapped else None
                self._put_aside(other, number, outcome, call.attempt, call.key, answer.worker)
                self._end_item(other, item, None)

    def _give_up(self, node: str, error: str) -> None:
        """The first calls of a node all failed: no more of them are made. That ends the run, or the step that the node is in."""
        text = f"the first {HOPELESS} calls of {node} all failed, the last with: {error}"
        if node not in self._inside:
            raise TaskFailed(text, remedy="`pipe logs last --level error` shows them")
        if node in self._open:
            self._record.line("error", f"{text}; the step is given up", node)
            self._ready.fail(node)
            self._closed(node)

    def _retry(self, call: Call, outcome: CallOutcome, worker: str) -> None:
        policy = call.common.task.policy
        delay = min(LONGEST_DELAY_S, policy.retry_delay_s * 2 ** (call.attempt - 1)) * random.uniform(0.75, 1.25)
        self._record.retried(call, outcome, worker, delay)
        again = call._replace(attempt=call.attempt + 1)
        heapq.heappush(self._delayed, (time.monotonic() + delay, next(self._numbers), again))

    def _scrubbed(self, outcome: CallOutcome) -> CallOutcome:
        scrub = self._record.scrub
        return outcome._replace(error=scrub(outcome.error), traceback=scrub(outcome.traceback))

    def _put_aside(
        self, node: str, item: int | None, outcome: CallOutcome, attempt: int = 1, key: str = "", worker: str = ""
    ) -> None:
        place = node if item is None else f"{node}[{item}]"
        self.counts.failed += 1
        if len(self.counts.set_aside) < TOLD:
            self.counts.set_aside.append(f"{place}: {outcome.error}")
        self.counts.exit_code = self.counts.exit_code or outcome.exit_code
        self._record.failed(node, item, outcome, attempt, key, worker)
        if outcome.exit_code == StateError.exit_code:  # the disk is full, not the item wrong
            raise StateError(outcome.error)
        if self._on_error == "stop":
            remedy = "on_error: continue sets such a call aside and goes on"
            failed = TaskFailed(f"{place}: {outcome.error}", remedy=remedy)
            failed.exit_code = outcome.exit_code
            raise failed

    def _tell_backlog(self, executor: Executor) -> None:
        """Tell the cluster how much there is to do, so that it can grow or shrink."""
        now = time.monotonic()
        if now - self._told < BACKLOG_EVERY_S:
            return
        self._told = now
        calls, seconds = 0, 0.0
        unknown = False
        ready = [(self._open[name].group, count) for name, count in self._ready.waiting().items()]
        for group, count in (*ready, *((group, len(batch.calls)) for batch, group in self._batches.values())):
            mean = None if group is None else group.pace.mean_s
            calls += count
            seconds += count * (mean or 0.0)
            unknown = unknown or mean is None
        executor.backlog(calls, None if unknown else seconds)


def _holds(valid: Callable[[Any], bool], store: ResultStore, found: StoredResult) -> bool:
    try:
        return bool(valid(store.get(found)))
    except Exception:  # noqa: BLE001 - whatever a project's check raises: in doubt the call is made again
        return False
