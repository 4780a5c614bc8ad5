"""The nodes of a run: a node opens when its inputs are there, and closes when its items have ended; a step adds a graph of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import NodeContext
from swath.engine.code_hash import code_fingerprint
from swath.engine.fingerprint import fingerprint, fingerprints_after
from swath.engine.journal_rows import NodeRow
from swath.engine.node_results import NodeResults
from swath.engine.node_state import NodeState
from swath.engine.ready_set import ReadySet
from swath.engine.recorder import Recorder
from swath.engine.steps import Step, Steps
from swath.engine.store import ResultStore
from swath.engine.stored_result import StoredResult
from swath.graph.collect import collect
from swath.graph.graph import Graph, Node
from swath.graph.ref import SKIPPED, Ref, node_of, path_of
from swath.graph.task import Task


class Nodes:
    """Opens and closes nodes. `queue_of` gives the queue of a task's calls."""

    def __init__(
        self,
        run: str,
        store: ResultStore,
        recorder: Recorder,
        queue_of: Callable[[Task], BatchQueue],
        identify: Callable[[Graph], object] = lambda graph: None,
    ) -> None:
        self._identify = identify
        self.ready = ReadySet()
        self.results = NodeResults(store, self.ready, recorder.results_of)
        self.open: dict[str, NodeState] = {}
        """Nodes that are open, by name."""
        self._run = run
        self._recorder = recorder
        self._queue_of = queue_of
        self._steps = Steps()
        self._code: dict[Any, str] = {}
        """Fingerprints of the code of functions."""
        self._closed: set[str] = set()
        self.for_cluster = 0
        """Nodes that have not ended and are not executed on the client: tasks of the cluster, and steps, which may have some."""

    def add(self, graph: Graph, prefix: str = "", depth: int = 0) -> tuple[str, list[str]]:
        """Add a graph. Returns the name of the single call whose result is that of the graph, and the names of all nodes."""
        self._identify(graph)
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
        self.ready.add(graph, depth)
        self.results.add(graph)
        self._recorder.added(graph)
        self.for_cluster += sum(map(_for_cluster, graph))
        return holder, [node.name for node in graph]

    def add_step(self, node: Node, item: int, graph: Graph) -> None:
        """Add the graph that stands in the place of an item of a node."""
        prefix = f"{node.name}[{item}]/" if node.mapped else f"{node.name}/"
        holder, names = self.add(graph, prefix, self.ready.depth(node.name))
        self._steps.add(Step(node.name, item, names, len(names)), holder)

    def in_step(self, name: str) -> bool:
        """Whether a node is in a step."""
        return self._steps.contains(name)

    # --- opening

    def open_ready(self) -> None:
        """Open the nodes whose inputs are there; skip or fail those that cannot run."""
        while (name := self.ready.next_openable()) is not None:
            node = self.results.nodes[name]
            takes_skipped = isinstance(node.target, Task) and node.target.takes_skipped
            if self.ready.input_failed(name):
                self.ready.fail(name)
            elif (self.ready.input_skipped(name) and not takes_skipped) or not self.results.value(node.when):
                self.ready.skip(name)
            else:
                self._open(node)
            self._close(name)

    def _open(self, node: Node) -> None:
        state = NodeState(NodeRow(node.name, "", "", "", "open"))
        if isinstance(node.target, Task):
            fn, policy = node.target.fn, node.target.policy
            kwargs = self.results.arguments(node.kwargs)
            code = self._code.get(fn) or self._code.setdefault(fn, code_fingerprint(fn))
            shared = fingerprint(kwargs)
            prefix = ("call", fn.__module__, node.target.name, code, policy.version, node.mapped, shared)
            state.call_key = fingerprints_after(prefix if policy.cache else (*prefix, self._run))
            state.row = NodeRow(node.name, code, policy.version, shared, "open")
            state.context = NodeContext(self._run, node.name, node.target, kwargs, self.results.store, node.mapped)
            state.queue = self._queue_of(node.target)
        count: int | None = 1
        if node.mapped:
            state.sources, count = self.results.sources(node)
        self.open[node.name] = state
        self.ready.open(node.name, count)
        self._recorder.opened(state.row, self.ready.count(node.name))

    # --- closing

    def end_item(self, name: str, item: int, result: StoredResult | None) -> None:
        """An item ended with a result, or without one because it was set aside."""
        if result is not None:
            self.results.put(name, item, result)
        else:
            self._recorder.set_aside(name, item)
        self.ready.settle(name, item, ok=result is not None)
        self._close(name)

    def end_iterator(self, name: str, count: int) -> None:
        """The iterator of a node whose number of items was unknown ended after `count` items."""
        self.ready.set_count(name, count)
        self._close(name)

    def give_up(self, name: str) -> None:
        """End a node without its other items."""
        self.ready.fail(name)
        self._close(name)

    def _close(self, name: str) -> None:
        """Record that a node ended, if it did, and hand the result of a step to its node."""
        state = self.ready.state(name)
        if state in ("waiting", "open"):
            return
        was_open = self.open.pop(name, None)
        row = was_open.row if was_open is not None else NodeRow(name, "", "", "", "")
        if name not in self._closed:
            self._closed.add(name)
            self.for_cluster -= _for_cluster(self.results.nodes[name])
            self.results.end_follower(name)
            self._recorder.ended(row._replace(state=state), self.ready.count(name))
            for follower in self.ready.followers(name):
                self._close(follower)
            self._steps.settle(name)
        if (step := self._steps.pop_result(name)) is not None:
            self._end_step(step, name, state)
        self._forget(name)

    def _end_step(self, step: Step, holder: str, state: str) -> None:
        """The node whose result is that of a step ended."""
        parent = self.results.nodes[step.node]
        if state == "skipped" and not parent.mapped:
            self.ready.skip(parent.name)
            self._close(parent.name)
            return
        result = None
        if state != "failed":
            result = self.results.store.put(SKIPPED) if state == "skipped" else self.results.of_call(holder)
            if parent.mapped:
                self._recorder.step(parent.name, step.item, fingerprint(("step", result.digest)), result)
        self.end_item(parent.name, step.item, result)

    def _forget(self, name: str) -> None:
        """Drop a step's nodes when all have ended, so that a million steps need no more memory than a few."""
        if names := self._steps.pop_settled(name):
            self.ready.forget(names)
            self.results.forget(names)
            self._closed.difference_update(names)


def _for_cluster(node: Node) -> bool:
    return not (isinstance(node.target, Task) and node.target.policy.on_client)
