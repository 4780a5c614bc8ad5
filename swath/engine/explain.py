"""Explains which calls a run would execute, and why: a dry run of the engine, which executes no call that has no result.

Only tasks that look at the outside world before every run (`cache=False` and `on_client`) are executed, because what they find
decides about the rest. Nothing is journalled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from swath.engine.call import BatchResult, Call, CallOutcome
from swath.engine.code_hash import code_fingerprint
from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow
from swath.engine.recorder import Recorder
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.stored_result import DamagedResult, StoredResult
from swath.graph.collect import collect
from swath.graph.graph import Graph, Node
from swath.graph.task import Task


@dataclass(frozen=True)
class NodeExplanation:
    """What a run would do with one node, and why."""

    node: str
    state: str
    """`finished`: all its calls have results; `runs`; `always`: it is executed in every run, because files or catalogues may have
    changed; `waits`: its inputs run first, and decide; `skipped`; `failed`: a node that is executed in every run failed."""
    finished: int
    """Calls that have a result."""
    runs: int
    """Calls that would be executed, as far as they are known."""
    waits: int
    """Items that are known, but not their arguments."""
    why: str

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return dict(vars(self))


def explain(
    graph: Graph,
    *,
    journal: Journal,
    store: ResultStore,
    earlier: str | None = None,
    fresh: bool = False,
    identify: Callable[[Graph], object] = lambda graph: None,
) -> list[NodeExplanation]:
    """What a run of `graph` would do, node by node. `earlier` is the id of the run to compare with: the last one like it."""
    try:
        recorder = _survey(graph, journal, store, fresh=fresh, verify=False, identify=identify)
    except DamagedResult:  # its call would be executed again
        recorder = _survey(graph, journal, store, fresh=fresh, verify=True, identify=identify)
    before = {} if earlier is None else {row.node: row for row in journal.nodes(earlier)}
    return _Explanations(recorder, before, fresh=fresh).of_nodes()


def _survey(
    graph: Graph,
    journal: Journal,
    store: ResultStore,
    *,
    fresh: bool,
    verify: bool,
    identify: Callable[[Graph], object],
) -> _SurveyRecorder:
    """The dry run."""
    recorder = _SurveyRecorder(journal)

    def executes(call: Call) -> bool:
        policy, node = call.context.task.policy, recorder.survey(call.context.node)
        looks = policy.on_client and not policy.cache
        node.looks = node.looks or looks
        node.runs += not looks
        return looks

    stop = Stop()
    # The id is of no run, so that with `fresh` no result is found.
    engine = Engine(
        "",
        journal=journal,
        store=store,
        emit=lambda event: None,
        stop=stop,
        fresh=fresh,
        dry_run=executes,
        recorder=recorder,
        verify=verify,
        identify=identify,
    )
    engine.execute(graph, InlineExecutor(engine.on_output, stop))
    return recorder


@dataclass
class _NodeSurvey:
    """What the dry run found of a node."""

    finished: int = 0
    runs: int = 0
    without: int = 0
    """Items that ended without a result."""
    looks: bool = False
    row: NodeRow | None = None
    error: str = ""


class _SurveyRecorder(Recorder):
    """Collects what the dry run does in memory; writes nothing and emits nothing."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("", journal, lambda event: None)
        self.nodes: dict[str, Node] = {}
        self._surveys: dict[str, _NodeSurvey] = {}
        self._found: dict[str, list[tuple[int, StoredResult]]] = {}

    def survey(self, node: str) -> _NodeSurvey:
        """What was found of a node until now."""
        return self._surveys.setdefault(node, _NodeSurvey())

    def write(self) -> None:
        """Nothing is written."""

    def results_of(self, node: str) -> Iterable[StoredResult]:
        return [result for _, result in sorted(self._found.get(node, ()))]

    def added(self, nodes: Iterable[Node]) -> None:
        self.nodes.update({node.name: node for node in nodes})

    def opened(self, row: NodeRow, total: int | None) -> None:
        self.survey(row.node)

    def ended(self, row: NodeRow, count: int | None = None) -> None:
        self.survey(row.node).row = row

    def set_aside(self, node: str, item: int) -> None:
        self.survey(node).without += 1

    def reused(self, node: str, item: int | None, key: str, result: StoredResult) -> None:
        self.survey(node).finished += 1
        self._add(node, item, result)

    def done(self, call: Call, outcome: CallOutcome, result: StoredResult, batch: BatchResult) -> None:
        self._add(call.context.node, call.mapped_item, result)

    def step(self, node: str, item: int, key: str, result: StoredResult) -> None:
        self._add(node, item, result)

    def _add(self, node: str, item: int | None, result: StoredResult) -> None:
        self._found.setdefault(node, []).append((item or 0, result))

    def failed(
        self, node: str, item: int | None, outcome: CallOutcome, attempt: int = 1, key: str = "", worker: str = ""
    ) -> None:
        self.survey(node).error = outcome.error


class _Explanations:
    """The explanations of all nodes, from the dry run and the nodes of the earlier run."""

    def __init__(self, recorder: _SurveyRecorder, before: dict[str, NodeRow], *, fresh: bool) -> None:
        self._recorder = recorder
        self._before = before
        self._fresh = fresh

    def of_nodes(self) -> list[NodeExplanation]:
        """Of the tasks' nodes, in the order of the graph."""
        nodes = self._recorder.nodes.values()
        return [self._of(node) for node in nodes if isinstance(node.target, Task) and node.target is not collect]

    def _of(self, node: Node) -> NodeExplanation:
        survey, old = self._recorder.survey(node.name), self._before.get(node.name)
        waits = survey.without - survey.runs
        row = survey.row
        if survey.error:
            state, why = "failed", survey.error
        elif row is not None and row.state == "skipped":
            state, why = "skipped", "its condition is false, or what it needs is skipped"
        elif survey.looks:
            state, why = "always", "it reads files or catalogues, which may have changed, in every run"
        elif survey.runs:
            state, why = "runs", self._why(node, survey, old)
        elif waits or row is None or row.state == "failed":
            needs = ", ".join(name for name in node.needs if self._unfinished(name))
            state, why = "waits", f"it needs results of {needs or 'calls that have not run'}"
            if old is not None and old.code and old.code != code_fingerprint(node.target.fn):
                why += "; its code changed"
        else:
            state, why = "finished", "its results are those of an earlier run"
        return NodeExplanation(
            node.name, state, survey.finished, survey.runs, max(0, waits) if state != "failed" else 0, why
        )

    def _unfinished(self, name: str) -> bool:
        survey = self._recorder.survey(name)
        return bool(survey.without) or survey.row is None or survey.row.state == "failed"

    def _why(self, node: Node, survey: _NodeSurvey, old: NodeRow | None) -> str:
        row = survey.row
        if self._fresh:
            return "--fresh"
        if isinstance(node.target, Task) and not node.target.policy.cache:
            return "it runs in every run (cache=False)"
        if old is None or row is None:
            return "it has not run before" if self._before else "there is no earlier run like this one"
        if old.code != row.code:
            return "its code changed"
        if old.version != row.version:
            return f"its version changed from {old.version!r} to {row.version!r}"
        if old.shared and old.shared != row.shared:
            return "its arguments changed"
        if survey.finished:
            return "these items are new, or their results are gone"
        return "its arguments changed, or its results are gone"
