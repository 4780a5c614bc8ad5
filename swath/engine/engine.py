"""The engine: makes the calls of a graph in the order in which they become ready, and never makes a finished one again."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from swath.engine.executor import Executor
from swath.engine.fingerprint import code_fingerprint, fingerprint
from swath.engine.journal import CallRow, Journal
from swath.engine.ready import ReadySet
from swath.engine.stop import Stop
from swath.engine.store import ResultStore, Stored
from swath.engine.work import Kept, KeptItems, Outcome, Said, Work
from swath.errors import PipelineError, StateError, SwathError, TaskFailed
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
from swath.graph.graph import Graph, Node
from swath.graph.pipeline import Pipeline
from swath.graph.ref import SKIPPED, Ref, fill, node_of, path_of, select
from swath.graph.task import Task, task

HOPELESS = 10
"""With `on_error: continue`, a node whose first so many calls all failed stops the run: the fault is not in the items."""
LONGEST_DELAY_S = 60.0
TURN = 500
"""How many items are started before the engine looks up again."""


@task(takes_skipped=True)
def collect(value: Any) -> Any:
    """The result of a pipeline that returns several values."""
    return value


@dataclass
class _Call:
    """One call on its way."""

    node: str
    item: int | None
    key: str
    work: Work
    attempt: int = 1


@dataclass
class _Progress:
    """What the engine holds of a node that is open."""

    shared_key: str = ""
    walks: tuple[Any, ...] = ()
    """The sequences and iterators of a mapped node; None where it follows another node item by item."""
    results: dict[int, Stored] = field(default_factory=dict)
    tried: int = 0
    failed: int = 0


@dataclass(frozen=True)
class EngineResult:
    """How the graph ended."""

    value: Stored | None
    """Result of the graph; None when it could not be computed or was skipped."""
    made: int
    """Calls that were made."""
    reused: int
    set_aside: list[str]
    """Calls that failed for good, as `node[item]: error`."""
    exit_code: int
    """Of the first error that set a call aside; 0 when there was none."""


class Engine:
    """Runs one graph once."""

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
        """`scrub` takes secrets out of what is journalled and told; `fresh` looks at no result of an earlier run."""
        self._run = run
        self._journal = journal
        self._store = store
        self._emit = emit
        self._stop = stop
        self._on_error = on_error
        self._scrub = scrub
        self._only_run = run if fresh else None
        self._ready = ReadySet()
        self._nodes: dict[str, Node] = {}
        self._open: dict[str, _Progress] = {}
        self._calls: dict[str, _Call] = {}
        self._delayed: list[tuple[float, str]] = []
        self._steps: dict[str, tuple[str, int]] = {}
        self._parents: dict[str, int] = {}
        self._ended: set[str] = set()
        self._more = False
        self._unwritten: list[Callable[[], None]] = []
        self._set_aside: list[str] = []
        self._exit_code = 0
        self._made = 0
        self._reused = 0

    # --- the loop

    def execute(self, graph: Graph, executor: Executor) -> EngineResult:
        """Make every call of `graph`. Raises Stopped when a signal asked to stop, TaskFailed when on_error is stop, and
        InfrastructureError when the cluster is lost; what was finished until then is in the journal."""
        result = self._take(graph, "", 0)
        try:
            while True:
                self._open_nodes()
                self._submit(executor)
                self._write()
                if self._ready.finished:
                    break
                for outcome in executor.wait(self._patience()):
                    self._settle(outcome, executor)
                self._write()
                if self._stop.asked is not None:
                    self._emit(RunStopping(time=time.time(), run=self._run, reason=self._stop.asked.message))
                    raise self._stop.asked
        finally:
            executor.cancel()
            self._write()
        state = self._ready.state(result)
        value = self._open[result].results.get(0) if state == "done" else None
        return EngineResult(value, self._made, self._reused, self._set_aside, self._exit_code)

    def _patience(self) -> float:
        """How long to wait for outcomes, in seconds."""
        if self._more:
            return 0.0
        if self._delayed:
            return max(0.0, min(0.2, self._delayed[0][0] - time.monotonic()))
        return 0.2

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
        for node in graph:
            self._nodes[node.name] = node
            self._parents[node.name] = prefix.count("/")
        self._ready.add(graph, depth)
        return holder

    # --- opening nodes

    def _open_nodes(self) -> None:
        while (name := self._ready.openable()) is not None:
            node = self._nodes[name]
            takes_skipped = isinstance(node.target, Task) and node.target.takes_skipped
            if self._ready.lost(name):
                self._ready.fail(name)
                self._closed(name)
            elif (self._ready.skipped(name) and not takes_skipped) or not self._value(node.when):
                self._ready.skip(name)
                self._closed(name)
            else:
                self._begin(node)

    def _begin(self, node: Node) -> None:
        progress = self._open[node.name] = _Progress()
        if isinstance(node.target, Task):
            target = (
                node.target.fn.__module__,
                node.target.name,
                code_fingerprint(node.target.fn),
                node.target.policy.version,
            )
            shared = self._arguments(node.kwargs if node.mapped else (node.args, node.kwargs))
            progress.shared_key = fingerprint(("call", target, node.mapped, shared))
        count: int | None = 1
        if node.mapped:
            follows = set(self._ready.streams(node.name))
            progress.walks = tuple(
                None if isinstance(arg, Ref) and not path_of(arg) and node_of(arg) in follows else self._walk(node, arg)
                for arg in node.args
            )
            lengths = {len(walk) for walk in progress.walks if hasattr(walk, "__len__")}
            if len(lengths) > 1:
                raise PipelineError(
                    f"{node.name}: the sequences that it walks together have different lengths: {sorted(lengths)}"
                )
            count = lengths.pop() if lengths and not any(isinstance(w, Iterator) for w in progress.walks) else None
        self._ready.open(node.name, count)
        self._emit(
            NodeOpened(
                time=time.time(), run=self._run, node=node.name, total=self._ready.count(node.name),
                depth=self._parents[node.name],
            )
        )  # fmt: skip
        self._closed(node.name)

    def _walk(self, node: Node, argument: Any) -> Any:
        """A sequence, or an iterator when its length is not known."""
        value = self._value(argument)
        if hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict)):
            return value
        try:
            return iter(value)
        except TypeError:
            raise PipelineError(
                f"{node.name}: .map() walks its positional arguments, but one is a {type(value).__name__}",
                remedy="pass it by keyword when it is the same for all items",
            ) from None

    def _value(self, template: Any) -> Any:
        """The template's value in this process, for `when`, lengths and specs of steps."""

        def get(ref: Ref) -> Any:
            node = self._nodes[node_of(ref)]
            if self._ready.state(node.name) == "skipped":
                return SKIPPED
            results = self._open[node.name].results
            if node.mapped:
                return select([self._store.get(results[i]) for i in sorted(results)], path_of(ref))
            return select(self._store.get(results[0]), path_of(ref))

        return fill(template, Ref, get)

    def _arguments(self, template: Any) -> Any:
        """The template with stored results in the place of Refs, as a call takes it with it."""

        def put(ref: Ref) -> Any:
            node = self._nodes[node_of(ref)]
            if self._ready.state(node.name) == "skipped":
                return SKIPPED
            results = self._open[node.name].results
            if node.mapped:
                return KeptItems(tuple(results[i] for i in sorted(results)), path_of(ref))
            return Kept(results[0], path_of(ref))

        return fill(template, Ref, put)

    # --- submitting

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
        node = self._nodes[name]
        progress = self._open[name]
        try:
            items = self._items(node, progress, item)
        except StopIteration:
            self._ready.ended(name, item)
            self._closed(name)
            return
        if items is None:  # what it follows was set aside, so this item is too
            self._ready.settle(name, item, ok=False)
            self._closed(name)
            return
        if isinstance(node.target, Pipeline):
            self._expand(node, item, items)
            return
        args = items if node.mapped else self._arguments(node.args)
        kwargs = self._arguments(node.kwargs)
        key = fingerprint((progress.shared_key, items)) if node.mapped else progress.shared_key
        if node.target.policy.cache and (found := self._finished(node.target, key)) is not None:
            self._reuse(node, item, key, found)
            return
        policy = node.target.policy
        number = item if node.mapped else None
        work = Work(
            f"{self._run}/{name}/{item}/1",
            node.target,
            args,
            kwargs,
            self._store,
            policy.timeout_s,
            dict(policy.resources),
        )
        self._calls[work.id] = _Call(name, number, key, work)
        executor.submit(work)

    def _items(self, node: Node, progress: _Progress, item: int) -> tuple[Any, ...] | None:
        """Arguments of one item of a mapped node. None when one was set aside; StopIteration when the walk is at its end."""
        values: list[Any] = []
        for argument, walk in zip(node.args, progress.walks, strict=node.mapped):
            if walk is None:
                stored = self._open[node_of(argument)].results.get(item)
                if stored is None:
                    return None
                values.append(Kept(stored))
            elif isinstance(walk, Iterator):
                values.append(next(walk))
            else:
                values.append(walk[item])
        return tuple(values)

    def _finished(self, target: Task, key: str) -> Stored | None:
        found = self._journal.result(key, self._only_run)
        if found is None or not self._store.has(found):
            return None
        if target.policy.valid is not None:
            try:
                return found if target.policy.valid(self._store.get(found)) else None
            except (StateError, OSError, AttributeError):
                return None
        return found

    def _reuse(self, node: Node, item: int, key: str, found: Stored) -> None:
        number = item if node.mapped else None
        row = CallRow(node.name, number, key, "reused", 0, "", time.time(), 0.0, "", "")
        self._unwritten.append(lambda: self._journal.write_call(self._run, row))
        self._reused += 1
        self._open[node.name].tried += 1
        self._open[node.name].results[item] = found
        self._emit(
            CallDone(time=time.time(), run=self._run, node=node.name, item=number, worker="", seconds=0.0, reused=True)
        )
        self._ready.settle(node.name, item, ok=True)
        self._closed(node.name)

    # --- a pipeline as a step

    def _expand(self, node: Node, item: int, items: tuple[Any, ...]) -> None:
        """Put the graph of a step in the place of its call."""
        if not isinstance(node.target, Pipeline):
            raise TypeError(node.target)
        spec = items[0] if node.mapped else self._value(node.args[0])
        spec = self._store.get(spec.stored) if isinstance(spec, Kept) else spec
        try:
            graph = node.target.build(spec)
        except (SwathError, ValueError) as error:  # pydantic's errors are ValueErrors
            self._put_aside(node.name, item if node.mapped else None, str(error))
            self._ready.settle(node.name, item, ok=False)
            self._closed(node.name)
            return
        prefix = f"{node.name}[{item}]/" if node.mapped else f"{node.name}/"
        holder = self._take(graph, prefix, self._ready.depth(node.name))
        self._steps[holder] = (node.name, item)

    def _closed(self, name: str) -> None:
        """Say that a node ended, when it did, and hand a step's result to its node."""
        state = self._ready.state(name)
        if state in ("waiting", "open"):
            return
        if name in self._nodes and name not in self._ended:
            self._ended.add(name)
            self._emit(NodeDone(time=time.time(), run=self._run, node=name, state=state))
            for follower in self._ready.followers(name):
                self._closed(follower)
        if name in self._steps:
            parent, item = self._steps.pop(name)
            if state == "skipped" and not self._nodes[parent].mapped:
                self._ready.skip(parent)
            else:
                if state == "done":
                    self._open[parent].results[item] = self._open[name].results[0]
                elif state == "skipped":
                    self._open[parent].results[item] = self._store.put(SKIPPED)
                self._ready.settle(parent, item, ok=state != "failed")
            self._closed(parent)

    # --- outcomes

    def _settle(self, outcome: Outcome, executor: Executor) -> None:
        call = self._calls.get(outcome.work)
        if call is None:
            return
        outcome = replace(outcome, error=self._scrub(outcome.error), traceback=self._scrub(outcome.traceback))
        task_ = call.work.task
        if outcome.result is None and outcome.retryable and call.attempt <= task_.policy.retries:
            self._retry(call, outcome)
            return
        del self._calls[outcome.work]
        self._made += 1
        progress = self._open[call.node]
        progress.tried += 1
        item = 0 if call.item is None else call.item
        state = "failed" if outcome.result is None else "done"
        row = CallRow(
            call.node, call.item, call.key, state, call.attempt, outcome.worker, time.time(), outcome.seconds, outcome.error,
            outcome.traceback,
        )  # fmt: skip
        self._unwritten.append(lambda: self._journal.write_call(self._run, row))
        if outcome.result is not None:
            stored = outcome.result
            self._unwritten.append(lambda: self._journal.write_result(self._run, call.key, stored))
            progress.results[item] = stored
            self._emit(
                CallDone(
                    time=time.time(), run=self._run, node=call.node, item=call.item, worker=outcome.worker,
                    seconds=outcome.seconds,
                )
            )  # fmt: skip
        else:
            self._failed(call, outcome, progress)
        self._ready.settle(call.node, item, ok=outcome.result is not None)
        self._closed(call.node)

    def _retry(self, call: _Call, outcome: Outcome) -> None:
        policy = call.work.task.policy
        delay = min(LONGEST_DELAY_S, policy.retry_delay_s * 2 ** (call.attempt - 1)) * random.uniform(0.75, 1.25)
        self._emit(
            CallRetried(
                time=time.time(), run=self._run, node=call.node, item=call.item, error=outcome.error, attempt=call.attempt,
                delay_s=delay,
            )
        )  # fmt: skip
        row = CallRow(
            call.node, call.item, call.key, "retried", call.attempt, outcome.worker, time.time(), outcome.seconds,
            outcome.error, outcome.traceback,
        )  # fmt: skip
        self._unwritten.append(lambda: self._journal.write_call(self._run, row))
        del self._calls[outcome.work]
        attempt = call.attempt + 1
        work = replace(call.work, id=f"{call.work.id.rpartition('/')[0]}/{attempt}")
        self._calls[work.id] = _Call(call.node, call.item, call.key, work, attempt)
        heapq.heappush(self._delayed, (time.monotonic() + delay, work.id))

    def _failed(self, call: _Call, outcome: Outcome, progress: _Progress) -> None:
        progress.failed += 1
        self._exit_code = self._exit_code or outcome.exit_code
        if outcome.exit_code == StateError.exit_code:
            raise StateError(outcome.error)
        self._put_aside(call.node, call.item, outcome.error, call.attempt, outcome.traceback)
        if progress.failed == progress.tried == HOPELESS:
            raise TaskFailed(
                f"the first {HOPELESS} calls of {call.node} all failed, the last with: {outcome.error}",
                remedy="`pipe logs last --level error` shows them",
            )

    def _put_aside(self, node: str, item: int | None, error: str, attempt: int = 1, traceback: str = "") -> None:
        place = node if item is None else f"{node}[{item}]"
        self._set_aside.append(f"{place}: {error}")
        self._emit(
            CallFailed(
                time=time.time(), run=self._run, node=node, item=item, error=error, attempt=attempt, traceback=traceback
            )
        )
        if self._on_error == "stop":
            raise TaskFailed(f"{place}: {error}", remedy="on_error: continue sets such a call aside and goes on")

    def hear(self, said: Said) -> None:
        """What a call said while it ran; the executor hands it over on the engine's own thread."""
        said = replace(said, text=self._scrub(said.text))
        call = self._calls.get(said.work)
        node, item = (call.node, call.item) if call else _place_of(said.work)
        if said.level == "started":
            attempt = call.attempt if call else 1
            self._emit(
                CallStarted(time=said.time, run=self._run, node=node, item=item, worker=said.worker, attempt=attempt)
            )
        elif said.level == "progress":
            self._emit(
                CallProgress(
                    time=said.time,
                    run=self._run,
                    node=node,
                    item=item,
                    done=said.done,
                    total=said.total,
                    pixels=said.pixels,
                )
            )
        else:
            self._unwritten.append(
                lambda: self._journal.write_log(self._run, said.time, said.level, said.text, node, item, said.worker)
            )
            self._emit(
                Log(
                    time=said.time,
                    run=self._run,
                    level=said.level,
                    text=said.text,
                    node=node,
                    item=item,
                    worker=said.worker,
                )
            )

    def _write(self) -> None:
        """Commit what happened since the last time, together."""
        if self._unwritten:
            with self._journal.transaction():
                for write in self._unwritten:
                    write()
            self._unwritten.clear()


def _place_of(work: str) -> tuple[str, int | None]:
    """Node and item from a call's id, for what is heard after the call ended."""
    name, item, _attempt = work.split("/", 1)[1].rsplit("/", 2)
    return name, int(item)
