"""Diff of the nodes of two runs: code, shared arguments, calls and results of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow


@dataclass(frozen=True)
class NodeCalls:
    """The calls of one node in one run."""

    done: int = 0
    reused: int = 0
    failed: int = 0
    seconds: float = 0
    """Sum of the times of all calls, over all workers."""
    state: str = ""
    """open, done, skipped or failed; empty when the run did not reach the node."""
    version: str = ""
    """Of the task."""


@dataclass(frozen=True)
class NodeDiff:
    """One node of either run."""

    name: str
    before: NodeCalls
    after: NodeCalls
    same_code: bool | None
    """None when a run did not reach the node; so is `same_shared`."""
    same_shared: bool | None
    """Whether the arguments that all calls of the node share are equal."""
    same: int = 0
    """Items with equal results. Results are stored by key: after `--fresh` the newest stands for both runs."""
    different: int = 0
    only_before: int = 0
    """Items of which only the first run has a result."""
    only_after: int = 0

    @property
    def ratio(self) -> float | None:
        """Seconds of the second run divided by those of the first; None when those are 0."""
        return self.after.seconds / self.before.seconds if self.before.seconds else None


ResultDigest = tuple[str, int | None, str]
"""Node, item (None of a single call) and fingerprint of a result."""


def diff_nodes(journal: Journal, before: str, after: str) -> Iterator[NodeDiff]:
    """The nodes of two runs, given by their ids, in the order in which they ended calls."""
    one, other = ({node.node: node for node in journal.nodes(run)} for run in (before, after))
    calls = [_calls(journal, run, nodes) for run, nodes in ((before, one), (after, other))]
    results = count_results(journal.digests(before), journal.digests(after))
    for name in dict.fromkeys((*calls[0], *calls[1])):
        first, second = one.get(name), other.get(name)
        counts = results.get(name, Counter())
        yield NodeDiff(
            name,
            calls[0].get(name, NodeCalls()),
            calls[1].get(name, NodeCalls()),
            _same(first and first.code, second and second.code),
            _same(first and first.shared, second and second.shared),
            counts["same"],
            counts["different"],
            counts["before"],
            counts["after"],
        )


def _same(one: str | None, other: str | None) -> bool | None:
    return one == other if one and other else None


def _calls(journal: Journal, run: str, nodes: Mapping[str, NodeRow]) -> dict[str, NodeCalls]:
    """The nodes of a run in the order in which they ended a call, then those that ended none."""
    counts: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    for node, state, count, node_s in journal.totals(run):
        counts.setdefault(node, Counter())[state] += count
        seconds[node] = seconds.get(node, 0.0) + node_s
    found = {}
    for name in (*counts, *(name for name in nodes if name not in counts)):
        n, row = counts.get(name, Counter()), nodes.get(name)
        state, version = (row.state, row.version) if row else ("", "")
        found[name] = NodeCalls(n["done"], n["reused"], n["failed"], seconds.get(name, 0.0), state, version)
    return found


def count_results(before: Iterable[ResultDigest], after: Iterable[ResultDigest]) -> dict[str, Counter[str]]:
    """By node: how many items have the `same` result, a `different` one, or one only `before` or `after`.

    Both come sorted by node and item and are merged, so memory does not grow with the number of items.
    """
    found: dict[str, Counter[str]] = {}
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one or other:
        first, second = _sort_key(one), _sort_key(other)
        kind = "before" if first < second else "after" if second < first else "same" if one == other else "different"
        found.setdefault(min(first, second)[1], Counter())[kind] += 1
        one, other = (
            next(left, None) if first <= second else one,
            next(right, None) if second <= first else other,
        )
    return found


def _sort_key(digest: ResultDigest | None) -> tuple[bool, str, int]:
    """Order of the digests; the end (None) sorts last."""
    return (True, "", 0) if digest is None else (False, digest[0], -1 if digest[1] is None else digest[1])
