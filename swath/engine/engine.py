"""The engine: executes the calls of a graph as they become ready, and never again a call that has a result.

It works in turns: submit what is ready (swath.engine.items), wait for results, record them. Nodes open and close in
swath.engine.nodes, batches are in swath.engine.batches, and swath.engine.recorder writes the journal and emits events.
"""

from __future__ import annotations

from collections.abc import Callable

from swath.engine.batches import Batches
from swath.engine.call import Call
from swath.engine.engine_result import CallCounts, EngineResult
from swath.engine.executors.executor import Executor
from swath.engine.items import Items
from swath.engine.journal import Journal
from swath.engine.nodes import Nodes
from swath.engine.recorder import Recorder
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.events import Event
from swath.graph.graph import Graph

ITEMS_PER_TURN = 2000
"""Items that are started before the engine writes finished work and checks whether it should stop."""
WAIT_S = 0.2
"""How long the engine waits for results before it checks whether it should stop."""


class Engine:
    """Executes one graph once.

    on_error: `continue` sets calls aside that failed for good, `stop` raises at the first.
    fresh: reuse no result of an earlier run.
    scrub: takes secrets out of texts before they are recorded.
    dry_run: of the calls without an earlier result execute only those for which it returns True; the others end without one (see
    swath.engine.explain). `recorder` is then one that writes nothing.
    identify: called with each graph, also of steps, before keys of its calls are computed: asks for what these depend on elsewhere.
    verify: read each earlier result before it is reused, see DamagedResult.
    on_client_only: called once, when no call is left that is not executed on the client.
    """

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
        dry_run: Callable[[Call], bool] | None = None,
        recorder: Recorder | None = None,
        verify: bool = False,
        identify: Callable[[Graph], object] = lambda graph: None,
        on_client_only: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_client_only: Callable[[], object] | None = on_client_only
        self.counts = CallCounts()
        self._stop = stop
        self._dry_run = dry_run is not None
        self._recorder = recorder or Recorder(run, journal, emit, scrub)
        self._batches = Batches()
        self._nodes = Nodes(run, store, self._recorder, self._batches.queue_of, identify)
        self._items = Items(
            self._nodes, self._batches, self._recorder, journal, self.counts,
            on_error=on_error, only_run=run if fresh else None, dry_run=dry_run, verify=verify,
        )  # fmt: skip
        self.on_output = self._items.output
        """Takes the output of calls while they run; the executor calls it on the engine's own thread."""

    def execute(self, graph: Graph, executor: Executor) -> EngineResult:
        """Execute every call of `graph`.

        Raises Stopped when a signal asked to stop, TaskFailed when on_error is stop, InfrastructureError when the cluster is lost,
        and DamagedResult when a stored result is not as it was written: another engine with `verify` executes its call again.
        What was finished until then is in the journal.
        """
        nodes, ready = self._nodes, self._nodes.ready
        result, _ = nodes.add(graph)
        try:
            while True:
                nodes.open_ready()
                if not nodes.for_cluster and self._on_client_only is not None:
                    self._on_client_only()
                    self._on_client_only = None
                more = self._submit(executor)
                self._recorder.write()
                # A dry run goes on although the graph cannot have a result any more.
                if ready.finished or (ready.state(result) == "failed" and not self._dry_run):
                    break
                for batch in executor.wait(0.0 if more else self._wait_s()):
                    self._items.end_calls(batch)
                self._recorder.write()
                if self._stop.requested is not None:
                    self._recorder.stopping(self._stop.requested.message)
                    raise self._stop.requested
        finally:
            executor.close()
            self._recorder.close()
        value = nodes.results.of_call(result) if ready.state(result) == "done" else None
        return EngineResult(**vars(self.counts), value=value)

    def _submit(self, executor: Executor) -> bool:
        """Submit calls as far as the executor takes them. True when the turn was cut short: more could be started at once."""
        nodes, items, batches = self._nodes, self._items, self._batches
        batches.begin_turn(executor)
        started, more = 0, False
        while batches.has_room and (name := items.next_node()) is not None:
            if started >= ITEMS_PER_TURN:
                more = True
                break
            started += items.start(name)
            nodes.open_ready()
        batches.submit_pending()
        batches.report_backlog(
            lambda: [(nodes.open[name].queue, count) for name, count in nodes.ready.ready_counts().items()]
        )
        if not more and batches.idle and not nodes.ready.finished:
            raise RuntimeError("the engine has nothing to wait for: this is a fault in swath")
        return more

    def _wait_s(self) -> float:
        retry_s = self._batches.next_retry_s()
        return WAIT_S if retry_s is None else min(WAIT_S, retry_s)
