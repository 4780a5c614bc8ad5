from __future__ import annotations

import json
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
from swath.reporting.run_diff import ChangedValue, OutputDiff, _results, compare
from tests.repositories import commit, git, repository

ROW = RunRow(
    "one", "job", "job", "job.yaml", "pipeline: job\n", (), "inline", "/", "running", 100.0, None, None, "", "host", 1, 1.0, (), {}
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as opened:
        yield opened


def two(one: RunRow = ROW, other: RunRow = ROW) -> tuple[RunRow, RunRow]:
    return replace(one, id="one"), replace(other, id="two")


def written(journal: Journal, run: str, results: dict[tuple[str, int | None], bytes], state: str = "done") -> None:
    journal.start_run(replace(ROW, id=run))
    calls = []
    for (node, item), data in results.items():
        key = f"{node}-{item}-{data.hex()}"
        journal.write_results(run, [(key, StoredResult(data.hex(), len(data), data))])
        calls.append(CallRow(node, item, key, state, 1, "inline", 1.0, 2.0, "", ""))
    journal.write_calls(run, calls)


def test_values_of_specs_are_compared_after_overrides_by_their_keys(journal: Journal) -> None:
    one = replace(
        ROW,
        spec_text="pipeline: job\nimagery: {bands: [red, green], cloud: 20}\nmodel: a.pt2\nparts: [{n: 1}, {n: 2}]\n# a note\n",
        overrides=("imagery.cloud=30", "cluster=local"),
    )
    other = replace(
        ROW,
        spec_text="imagery:\n  bands: [red, nir]\n  cloud: 30\npipeline: job\nmodel: a.pt2\nparts: [{n: 1}, {n: 3}]\n",
        overrides=("model.factory=unet", "token=${env:TOKEN}"),
    )
    found = compare(journal, *two(one, other))
    assert found.spec == (
        ChangedValue("cluster", '"local"', None),
        ChangedValue("imagery.bands", '["red", "green"]', '["red", "nir"]'),
        ChangedValue("model.factory", None, '"unet"'),
        ChangedValue("parts.1.n", "2", "3"),
        ChangedValue("token", None, '"${env:TOKEN}"'),
    )
    assert "-# a note" in found.text
    assert compare(journal, *two(one, one)).spec == ()


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
    assert _results(iter(ordered(before)), iter(ordered(after))) == expected


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
    nodes = {node.name: node for node in compare(journal, *two()).nodes}
    assert set(nodes) == {"plan", "part", "old", "never"}
    assert (nodes["plan"].same_code, nodes["plan"].same, nodes["plan"].after.reused) == (True, 1, 1)
    part = nodes["part"]
    assert (part.same_code, part.same_shared, part.before.version, part.after.version) == (False, True, "1", "2")
    assert (part.same, part.different, part.only_before, part.only_after) == (1, 1, 1, 1)
    assert (part.before.done, part.before.seconds, part.after.seconds, part.ratio) == (3, 6.0, 6.0, 1.0)
    assert (nodes["old"].same_code, nodes["old"].only_before, nodes["old"].after.state) == (None, 1, "")
    assert (nodes["never"].after.state, nodes["never"].ratio) == ("open", None)


def test_outputs_are_paired_below_the_folder_that_they_share_and_compared_by_content(
    journal: Journal, tmp_path: Path
) -> None:
    for name, text in {
        "a/map.tif": "map", "a/x/item.json": "1", "a/gone.txt": "", "a/more.txt": "", "a/report.html": "1",
        "b/map.tif": "map", "b/x/item.json": "2", "b/report.html": "2", "c": "same file",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "a" / "gone.txt").unlink()
    names = ("map.tif", "x/item.json", "gone.txt", "report.html")
    one = replace(
        ROW, outputs=(*(str(tmp_path / "a" / name) for name in names), str(tmp_path / "a" / "more.txt"), "14")
    )
    other = replace(ROW, outputs=(*(str(tmp_path / "b" / name) for name in names), "15"))
    made = {each.name: each.verdict for each in compare(journal, *two(one, other)).outputs}
    assert made == {
        "map.tif": "same", "x/item.json": "different", "gone.txt": "gone", "more.txt": "only before", "0": "different",
    }  # fmt: skip
    same = replace(ROW, outputs=(str(tmp_path / "c"), "s3://bucket/map.tif"))
    assert compare(journal, *two(same, same)).outputs == (
        OutputDiff("c", str(tmp_path / "c"), str(tmp_path / "c"), "one file", (9, 9)),
        OutputDiff("0", "s3://bucket/map.tif", "s3://bucket/map.tif", "one address", (None, None)),
    )


def test_commits_are_counted_between_the_runs_and_changes_that_are_in_none_are_compared(
    journal: Journal, tmp_path: Path
) -> None:
    top = repository(tmp_path / "project", {"a": "1"})
    first = git(top, "rev-parse", "HEAD").strip()
    for _ in range(3):
        commit(top)
    last = git(top, "rev-parse", "HEAD").strip()
    one = replace(ROW, root=str(top), git={"commit": first, "dirty": False})
    other = replace(ROW, root=str(top), git={"commit": last, "dirty": True, "changes": "whole"})
    found = compare(journal, *two(one, other)).code
    assert (found.commits, found.same_changes) == ((0, 3), False)
    assert compare(journal, *two(other, one)).code.commits == (3, 0)
    assert compare(journal, *two(one, one)).code.same_changes is None
    assert compare(journal, *two(replace(one, git={"commit": "0" * 40}), other)).code.commits is None
    assert compare(journal, *two()).code.commits is None
    for run, text in (("one", "+1"), ("two", "+1")):
        file = journal.folder / "runs" / run / "changes.diff"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert compare(journal, *two(other, other)).code.same_changes is True
    cut = replace(other, git=other.git | {"changes": "cut"})
    assert compare(journal, *two(cut, cut)).code.same_changes is False


def test_a_run_that_has_not_ended_has_no_time_and_no_ratio(journal: Journal) -> None:
    found = compare(journal, *two(replace(ROW, finished=102.0), ROW))
    assert (found.seconds, found.ratio) == ((2.0, None), None)
    assert compare(journal, *two(replace(ROW, finished=102.0), replace(ROW, finished=101.0))).ratio == 0.5


def test_a_spec_text_that_cannot_be_read_is_compared_as_text_only(journal: Journal) -> None:
    found = compare(journal, *two(replace(ROW, spec_text="a: [")))
    assert [each.key for each in found.spec] == ["pipeline"]
    assert json.loads(found.spec[0].after or "") == "job"
