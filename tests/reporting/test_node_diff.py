from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, NodeRow, RunRow
from swath.engine.stored_result import StoredResult
from swath.reporting.node_diff import count_results, diff_nodes

ROW = RunRow(
    "one", "job", "job", "job.yaml", "pipeline: job\n", (), "inline", "/", "running", 100.0, None, None, "", "host", 1, 1.0, (), {}
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as opened:
        yield opened


def written(journal: Journal, run: str, results: dict[tuple[str, int | None], bytes], state: str = "done") -> None:
    if all(row.id != run for row in journal.runs()):
        journal.start_run(replace(ROW, id=run))
    calls = []
    for (node, item), data in results.items():
        key = f"{node}-{item}-{data.hex()}"
        journal.write_results(run, [(key, StoredResult(data.hex(), len(data), data))])
        calls.append(CallRow(node, item, key, state, 1, "inline", 1.0, 2.0, "", ""))
    journal.write_calls(run, calls)


digests = st.dictionaries(
    st.tuples(st.sampled_from(["a", "B", "ü", "\U0001f600", "\ufb01"]), st.one_of(st.none(), st.integers(0, 20))),
    st.sampled_from(["x", "y"]),
    max_size=30,
)


def ordered(results: dict[tuple[str, int | None], str]) -> list[tuple[str, int | None, str]]:
    """As the journal gives them: by the bytes of the node's name, then by item."""
    keys = sorted(results, key=lambda key: (key[0].encode(), -1 if key[1] is None else key[1]))
    return [(*key, results[key]) for key in keys]


@given(digests, digests)
def test_results_are_counted_side_by_side(
    before: dict[tuple[str, int | None], str], after: dict[tuple[str, int | None], str]
) -> None:
    expected: dict[str, Counter[str]] = {}
    for key in before.keys() | after.keys():
        kind = "after" if key not in before else "before" if key not in after else ""
        kind = kind or ("same" if before[key] == after[key] else "different")
        expected.setdefault(key[0], Counter())[kind] += 1
    assert count_results(iter(ordered(before)), iter(ordered(after))) == expected


def test_calls_results_and_code_are_compared_node_by_node(journal: Journal) -> None:
    written(
        journal,
        "one",
        {("plan", None): b"1", ("part", 0): b"a", ("part", 1): b"b", ("part", 2): b"c", ("old", None): b""},
    )
    written(journal, "two", {("plan", None): b"1"}, "reused")
    written(journal, "two", {("part", 0): b"a", ("part", 1): b"B", ("part", 3): b"d"})
    journal.write_nodes("one", [NodeRow("plan", "c1", "1", "s", "done"), NodeRow("part", "c2", "1", "s", "done")])
    journal.write_nodes("two", [NodeRow("plan", "c1", "1", "s", "done"), NodeRow("part", "c3", "2", "s", "done")])
    journal.write_nodes("two", [NodeRow("never", "c4", "", "", "open")])
    nodes = {node.name: node for node in diff_nodes(journal, "one", "two")}
    assert set(nodes) == {"plan", "part", "old", "never"}
    assert (nodes["plan"].same_code, nodes["plan"].same, nodes["plan"].after.reused) == (True, 1, 1)
    part = nodes["part"]
    assert (part.same_code, part.same_shared, part.before.version, part.after.version) == (False, True, "1", "2")
    assert (part.same, part.different, part.only_before, part.only_after) == (1, 1, 1, 1)
    assert (part.before.done, part.before.seconds, part.after.seconds, part.ratio) == (3, 6.0, 6.0, 1.0)
    assert (nodes["old"].same_code, nodes["old"].only_before, nodes["old"].after.state) == (None, 1, "")
    assert (nodes["never"].after.state, nodes["never"].ratio) == ("open", None)
