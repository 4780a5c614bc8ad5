"""`pipe diff`: two runs side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swath import units
from swath.cli.context import find_run, open_journal
from swath.cli.render.columns import table
from swath.cli.render.run_fields import commit_words, run_fields
from swath.cli.render.terminal_text import printable
from swath.reporting.node_diff import NodeCalls, NodeDiff
from swath.reporting.output_diff import OutputDiff
from swath.reporting.run_diff import CodeDiff, RunDiff, diff_runs

LONGEST = 60
"""Characters of a value in a table; --json has all of it."""


def print_diff(before: str, after: str, *, as_json: bool) -> int:
    """Print what differs between two runs. Returns 0 whether or not something does, as `git diff` does."""
    with open_journal() as journal:
        rows = find_run(journal, before), find_run(journal, after)
        found = diff_runs(journal, *rows)
        summaries = [run_fields(row, journal) for row in rows]
    if as_json:
        print(json.dumps(_to_json(found, summaries), ensure_ascii=False, indent=2))
        return 0
    for line in _lines(found):
        print(printable(line))
    return 0


def _to_json(found: RunDiff, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields = dataclasses.asdict(found)
    nodes = [fields_of | {"ratio": node.ratio} for fields_of, node in zip(fields["nodes"], found.nodes, strict=True)]
    return fields | {"before": summaries[0], "after": summaries[1], "nodes": nodes, "ratio": found.ratio}


def _lines(found: RunDiff) -> Iterator[str]:
    head = ("", "RUN", "NAME", "STATUS", "STARTED", "TOOK")
    rows = [
        (
            side,
            row.id,
            row.name,
            row.status,
            units.local_time(row.started),
            "-" if took is None else units.duration(took),
        )
        for side, row, took in zip(("before", "after"), (found.before, found.after), found.seconds, strict=True)
    ]
    yield from table(head, rows, right=(5,))
    if found.ratio is not None:
        yield f"the second run took {_times(found.ratio)} the time of the first"
    yield from _section("spec", _spec(found), "no value differs")
    yield from _section("code", _code(found.code), "neither run was under version control")
    yield from _section("calls", _nodes(found.nodes), "neither run had calls")
    yield from _section("outputs", _outputs(found.outputs), "neither run published anything")


def _section(name: str, lines: Iterator[str], empty: str) -> Iterator[str]:
    yield ""
    rest = list(lines)
    yield f"{name}:" if rest else f"{name}: {empty}"
    yield from (f"  {line}".rstrip() for line in rest)


def _spec(found: RunDiff) -> Iterator[str]:
    if found.spec:
        rows = [(each.key, _short(each.before), _short(each.after)) for each in found.spec]
        yield from table(("KEY", "BEFORE", "AFTER"), rows)
    if found.text:
        yield ""
        yield from found.text


def _code(code: CodeDiff) -> Iterator[str]:
    if not (code.before or code.after):
        return
    for side, git in (("before", code.before), ("after", code.after)):
        yield f"{side:<7}{commit_words(git)}"
    if code.commits == (0, 0):
        yield "the same commit"
    elif code.commits is not None:
        left, right = code.commits
        later, earlier = _commits(right), _commits(left)
        if left and right:
            yield f"the branches differ: {earlier} only in the first run, {later} only in the second"
        else:
            yield f"{later} later" if right else f"{earlier} earlier"
    if code.same_changes is not None:
        yield "the uncommitted changes are " + ("the same" if code.same_changes else "different")


def _commits(count: int) -> str:
    return f"{count} commit" if count == 1 else f"{count} commits"


def _nodes(nodes: Sequence[NodeDiff]) -> Iterator[str]:
    if not nodes:
        return
    head = (
        "NODE",
        "CODE",
        "SHARED ARGS",
        "BEFORE",
        "AFTER",
        "SAME",
        "DIFFERENT",
        "ONLY ONE",
        "SECONDS BEFORE",
        "SECONDS AFTER",
        "RATIO",
    )
    rows = [
        (
            node.name, _version(node), _sameness(node.same_shared), _calls(node.before), _calls(node.after), f"{node.same:,}",
            f"{node.different:,}", f"{node.only_before + node.only_after:,}", units.significant(node.before.seconds),
            units.significant(node.after.seconds), "-" if node.ratio is None else _times(node.ratio),
        )
        for node in nodes
    ]  # fmt: skip
    yield from table(head, rows, right=(5, 6, 7, 8, 9, 10))


def _version(node: NodeDiff) -> str:
    before, after = node.before.version, node.after.version
    return f"{_sameness(node.same_code)}, version {before} -> {after}" if before != after else _sameness(node.same_code)


def _sameness(same: bool | None) -> str:
    return "?" if same is None else "same" if same else "changed"


def _calls(side: NodeCalls) -> str:
    parts = [(side.done, "done"), (side.reused, "reused"), (side.failed, "failed")]
    return ", ".join(f"{count:,} {word}" for count, word in parts if count) or "-"


def _outputs(outputs: Sequence[OutputDiff]) -> Iterator[str]:
    if not outputs:
        return
    rows = [(output.name, output.verdict, _size(output, 0), _size(output, 1)) for output in outputs]
    yield from table(("OUTPUT", "", "BEFORE", "AFTER"), rows, right=(2, 3))


def _size(output: OutputDiff, side: int) -> str:
    """Size of a file, or the value of an output that is no file. side: 0 of the first run, 1 of the second."""
    size, value = output.sizes[side], (output.before, output.after)[side]
    if size is not None:
        return units.size(size)
    return "-" if value is None or value.startswith("/") or "://" in value else _short(value)


def _short(value: str | None) -> str:
    if value is None:
        return "-"
    return value if len(value) <= LONGEST else value[: LONGEST - 3] + "..."


def _times(ratio: float) -> str:
    return f"{units.significant(ratio)}x"
