"""The engine: makes the calls of a graph in the order in which they become ready, and never makes a finished one again."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from swath.engine.executor import Executor
from swath.engine.fingerprint import code_fingerprint, fingerprint
from swath.engine.journal import Journal
from swath.engine.ready import ReadySet
from swath.engine.record import Record
from swath.engine.stop import Stop
from swath.engine.store import ResultStore, Stored
from swath.engine.values import Values, Walks
from swath.engine.work import Kept, Outcome, Said, Work
from swath.errors import StateError, SwathError, TaskFailed
from swath.events import Event
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import SKIPPED, Ref, node_of, path_of
from swath.graph.task import Task, task

HOPELESS = 10
"""With `on_error: continue`, a node whose first so many calls all failed stops the run: the fault is not in the items."""
LONGEST_DELAY_S = 60.0
TURN = 500
"""How many items are started before the engine looks up again."""
PATIENCE_S = 0.2
"""How long the engine waits for outcomes before it looks whether it was asked to stop."""


@task(takes_skipped=True)
def collect(value: Any) -> Any:
    """The result of a pipeline that returns several values."""
    return value


@dataclass(frozen=True)
class EngineResult:
    """How the graph ended."""

    value: Stored | None
    """Result of the graph; None when it could not be computed or was skipped."""
    made: int
    """Calls that were made."""
    reused: int
    """Calls whose result was there already."""
    set_aside: list[str]
    """Calls that failed for good, as `node[item]: error`."""
    exit_code: int
    """Of the first error that set a call aside; 0 when there was none."""


@dataclass(frozen=True)
class _Call:
    """One call on its way."""

    node: str
    item: int | None
    key: str
    work: Work
    attempt: int = 1


@dataclass
class _Open:
    """What is held of a node that is open."""

    key: str = ""
    """What all its calls have in common of their keys."""
    walks: Walks = ()
    tried: int = 0
    failed: int = 0


@dataclass
class _Tally:
    made: int = 0
    reused: int = 0
    set_aside: list[str] = field(default_factory=list)
    exit_code: int = 0


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
        self._run = run
        self._journal = journal
        self._stop = stop
        self._on_error = on_error
        self._only_run = run if fresh else None
        self._record = Record(run, journal, emit, scrub)
        self._ready = ReadySet()
        self._values = Values(store, self._ready)
        self._open: dict[str, _Open] = {}
        self._calls: dict[str, _Call] = {}
        self._delayed: list[tuple[float, str]] = []
        self._steps: dict[str, tuple[str, int]] = {}
        self._ended: set[str] = set()
        self._more = False
        self._tally = _Tally()

    # --- the loop

    def execute(self, graph: Graph, executor: Executor) -> EngineResult:
        """Make every call of `graph`. Raises Stopped when a signal asked to stop, TaskFailed when on_error is stop, and
        InfrastructureError when the cluster is lost; what was finished until then is in the journal."""
        result = self._take(graph, "", 0)
        try:
            while True:
                self._open_nodes()
                self._submit(executor)
                self._record.write()
                if self._ready.finished or self._ready.state(result) == "failed":
                    break  # without a result there is nothing to go on for
                for outcome in executor.wait(self._patience()):
                    self._settle(outcome)
                self._record.write()
                if self._stop.asked is not None:
                    self._record.stopping(self._stop.asked.message)
                    raise self._stop.asked
        finally:
            executor.cancel()
            self._record.write()
        value = self._values.of(result) if self._ready.state(result) == "done" else None
        tally = self._tally
        return EngineResult(value, tally.made, tally.reused, tally.set_aside, tally.exit_code)

    def _patience(self) -> float:
        """How long to wait for outcomes, in seconds."""
        if self._more:
            return 0.0
        if self._delayed:
            return max(0.0, min(PATIENCE_S, self._delayed[0][0] - time.monotonic()))
        return PATIENCE_S

    def _take(self, graph: Graph, prefix: str, depth: int) -> str:
        """Take a graph in, and name the single call that holds its result."""
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
        self._values.nodes.update({node.name: node for node in graph})
        self._ready.add(graph, depth)
        return holder

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
        this = self._open[node.name] = _Open()
        if isinstance(node.target, Task):
            fn, policy = node.target.fn, node.target.policy
            shared = self._values.arguments(node.kwargs if node.mapped else (node.args, node.kwargs))
            code = (fn.__module__, node.target.name, code_fingerprint(fn), policy.version)
            this.key = fingerprint(("call", code, node.mapped, shared))
        count: int | None = 1
        if node.mapped:
            this.walks, count = self._values.walks(node)
        self._ready.open(node.name, count)
        self._record.opened(node.name, self._ready.count(node.name), node.name.count("/"))

    def _closed(self, name: str) -> None:
        """Say that a node ended, when it did, and hand a step's result to its node."""
        state = self._ready.state(name)
        if state in ("waiting", "open"):
            return
        if name not in self._ended:
            self._ended.add(name)
            self._record.ended(name, state)
            for follower in self._ready.followers(name):
                self._closed(follower)
        if name in self._steps:
            parent, item = self._steps.pop(name)
            result = self._values.store.put(SKIPPED) if state == "skipped" else self._values.of(name)
            if state == "skipped" and not self._values.nodes[parent].mapped:
                self._ready.skip(parent)
                self._closed(parent)
            else:
                self._end_item(parent, item, result if state != "failed" else None)

    def _end_item(self, name: str, item: int, result: Stored | None) -> None:
        """An item has its result, or was set aside."""
        if result is not None:
            self._values.put(name, item, result)
        self._ready.settle(name, item, ok=result is not None)
        self._closed(name)

    # --- items

    def _submit(self, executor: Executor) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            executor.submit(self._calls[heapq.heappop(self._delayed)[1]].work)
        window = max(4, 3 * executor.slots)
        self._more = True
        for _ in range(TURN):  # so that a stop is heard, and finished work written, between many reused calls
            if len(self._calls) >= window or (ready := self._ready.next()) is None:
                self._more = False
                break
            self._start(*ready, executor)
            self._open_nodes()
        if not (self._more or self._calls or self._ready.finished):
            raise RuntimeError("the engine has nothing to wait for: this is a fault in swath")

    def _start(self, name: str, item: int, executor: Executor) -> None:
        node, this = self._values.nodes[name], self._open[name]
        items: tuple[Any, ...] | None = node.args
        if node.mapped:
            try:
                items = self._values.items(node, this.walks, item)
            except StopIteration:
                self._ready.ended(name, item)
                self._closed(name)
                return
        if items is None:  # what it follows was set aside, so this item is too
            self._end_item(name, item, None)
        elif isinstance(node.target, Pipeline):
            self._expand(node, node.target, item, items[0])
        else:
            self._call(node, node.target, item, items, executor)

    def _call(self, node: Node, target: Task, item: int, items: tuple[Any, ...], executor: Executor) -> None:
        """Make one call, or take the result of an earlier one."""
        this, policy = self._open[node.name], target.policy
        number = item if node.mapped else None
        key = fingerprint((this.key, items)) if node.mapped else this.key
        found = self._finished(target, key) if policy.cache else None
        if found is not None:
            self._tally.reused += 1
            this.tried += 1
            self._record.reused(node.name, number, key)
            self._end_item(node.name, item, found)
            return
        args = items if node.mapped else self._values.arguments(node.args)
        work = Work(
            f"{self._run}/{node.name}/{item}/1", target, args, self._values.arguments(node.kwargs), self._values.store,
            policy.timeout_s, dict(policy.resources),
        )  # fmt: skip
        self._calls[work.id] = _Call(node.name, number, key, work)
        executor.submit(work)

    def _finished(self, target: Task, key: str) -> Stored | None:
        """The result of an earlier call with this key, if it is still there and still holds."""
        found = self._journal.result(key, self._only_run)
        if found is None or not self._values.store.has(found):
            return None
        if target.policy.valid is None:
            return found
        try:
            return found if target.policy.valid(self._values.store.get(found)) else None
        except Exception:  # noqa: BLE001 - whatever a project's check raises: in doubt the call is made again
            return None

    def _expand(self, node: Node, target: Pipeline, item: int, spec: Any) -> None:
        """Put the graph of a step in the place of its call."""
        spec = self._values.store.get(spec.stored) if isinstance(spec, Kept) else self._values.value(spec)
        try:
            graph = target.build(spec)
        except (SwathError, ValueError) as error:  # pydantic's errors are ValueErrors
            wrong = Outcome("", "", 0.0, error=str(error))
            self._put_aside(node.name, item if node.mapped else None, "", 1, wrong)
            self._end_item(node.name, item, None)
            return
        prefix = f"{node.name}[{item}]/" if node.mapped else f"{node.name}/"
        holder = self._take(graph, prefix, self._ready.depth(node.name))
        self._steps[holder] = (node.name, item)

    # --- outcomes

    def _settle(self, outcome: Outcome) -> None:
        call = self._calls.pop(outcome.work, None)
        if call is None:
            return
        scrub = self._record.scrub
        outcome = replace(outcome, error=scrub(outcome.error), traceback=scrub(outcome.traceback))
        if outcome.result is None and outcome.retryable and call.attempt <= call.work.task.policy.retries:
            self._retry(call, outcome)
            return
        this = self._open[call.node]
        this.tried += 1
        self._tally.made += 1
        if outcome.result is not None:
            self._record.done(call.node, call.item, call.key, call.attempt, outcome, outcome.result)
        else:
            this.failed += 1
            self._put_aside(call.node, call.item, call.key, call.attempt, outcome)
            if this.failed == this.tried == HOPELESS:
                raise TaskFailed(
                    f"the first {HOPELESS} calls of {call.node} all failed, the last with: {outcome.error}",
                    remedy="`pipe logs last --level error` shows them",
                )
        self._end_item(call.node, call.item or 0, outcome.result)

    def _retry(self, call: _Call, outcome: Outcome) -> None:
        policy = call.work.task.policy
        delay = min(LONGEST_DELAY_S, policy.retry_delay_s * 2 ** (call.attempt - 1)) * random.uniform(0.75, 1.25)
        self._record.retried(call.node, call.item, call.key, call.attempt, outcome, delay)
        work = replace(call.work, id=f"{call.work.id.rpartition('/')[0]}/{call.attempt + 1}")
        self._calls[work.id] = replace(call, work=work, attempt=call.attempt + 1)
        heapq.heappush(self._delayed, (time.monotonic() + delay, work.id))

    def _put_aside(self, node: str, item: int | None, key: str, attempt: int, outcome: Outcome) -> None:
        place = node if item is None else f"{node}[{item}]"
        self._tally.set_aside.append(f"{place}: {outcome.error}")
        self._tally.exit_code = self._tally.exit_code or outcome.exit_code
        self._record.failed(node, item, key, attempt, outcome)
        if outcome.exit_code == StateError.exit_code:  # the disk is full, not the item wrong
            raise StateError(outcome.error)
        if self._on_error == "stop":
            remedy = "on_error: continue sets such a call aside and goes on"
            failed = TaskFailed(f"{place}: {outcome.error}", remedy=remedy)
            failed.exit_code = outcome.exit_code
            raise failed

    def hear(self, said: Said) -> None:
        """What a call said while it ran; the executor hands it over on the engine's own thread."""
        call = self._calls.get(said.work)
        if call is not None:
            self._record.said(said, call.node, call.item, call.attempt)
            return
        node, item, attempt = said.work.split("/", 1)[1].rsplit("/", 2)  # it ended before its last words came
        self._record.said(said, node, int(item) if self._values.nodes[node].mapped else None, int(attempt))
