"""What differs between two runs: their specs, code, results, outputs and times. Reads the journal; changes nothing."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow, RunRow
from swath.errors import SpecError
from swath.project.git import Repository
from swath.spec.locations import is_remote
from swath.spec.yaml import override
from swath.spec.yaml.document import Document, parse

OWN = frozenset({"report.html", "report.json"})
"""Files beside a map that tell of their run, so that no two are the same."""


@dataclass(frozen=True)
class ChangedValue:
    """One value of two specs that differs; None where a spec has no such key."""

    key: str
    before: str | None
    """As JSON."""
    after: str | None


@dataclass(frozen=True)
class CodeDiff:
    """What the runs were made from: the `git` of each, see swath.project.provenance.CodeSource."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    commits: tuple[int, int] | None
    """How many commits only the first has behind it, and how many only the second; None when that cannot be told."""
    same_changes: bool | None
    """Whether what was in no commit is the same; None when neither run had anything such."""


@dataclass(frozen=True)
class NodeCalls:
    """The calls of one node in one run."""

    done: int = 0
    reused: int = 0
    failed: int = 0
    seconds: float = 0
    """Sum of the times of all calls, over all workers."""
    state: str = ""
    """open, done, skipped or failed; empty when the run has not got so far."""
    version: str = ""


@dataclass(frozen=True)
class NodeDiff:
    """One node of either run."""

    name: str
    before: NodeCalls
    after: NodeCalls
    same_code: bool | None
    """None when one run has not got so far; so also below."""
    same_shared: bool | None
    """Whether the arguments that all its calls share are the same."""
    same: int = 0
    """Items whose results are the same. A result that was made again, with `--fresh`, stands for both runs."""
    different: int = 0
    only_before: int = 0
    """Items of which only the first run has a result."""
    only_after: int = 0

    @property
    def ratio(self) -> float | None:
        """Seconds of the second run by those of the first."""
        return self.after.seconds / self.before.seconds if self.before.seconds else None


@dataclass(frozen=True)
class OutputDiff:
    """One output of either run, paired by its place below the folder that its run's outputs share."""

    name: str
    before: str | None
    """Path, URL or value; None when that run has no such output."""
    after: str | None
    verdict: str
    """same, different, only before, only after, one file or one address (the later run wrote over it), gone, or not looked at."""
    sizes: tuple[int | None, int | None] = (None, None)
    """Bytes of the files now."""


@dataclass(frozen=True)
class RunDiff:
    """Two runs side by side: the first is `before`, the second `after`."""

    before: RunRow
    after: RunRow
    spec: tuple[ChangedValue, ...]
    """After overrides; references to the environment stay references."""
    text: tuple[str, ...]
    """Lines of a unified diff of the specs as they were written."""
    code: CodeDiff
    nodes: tuple[NodeDiff, ...]
    outputs: tuple[OutputDiff, ...]
    seconds: tuple[float | None, float | None] = field(default=(None, None))
    """From start to end; None of a run that has not ended."""

    @property
    def ratio(self) -> float | None:
        """The second run's time by the first's."""
        before, after = self.seconds
        return after / before if before and after is not None else None


def compare(journal: Journal, before: RunRow, after: RunRow) -> RunDiff:
    """Compare two runs of a journal. Files of outputs are read when their sizes are the same."""
    return RunDiff(
        before,
        after,
        tuple(_spec(before, after)),
        tuple(_text(before, after)),
        _code(journal, before, after),
        tuple(_nodes(journal, before.id, after.id)),
        tuple(_outputs(before, after)),
        (_seconds(before), _seconds(after)),
    )


def _seconds(row: RunRow) -> float | None:
    return None if row.finished is None else row.finished - row.started


# --- specs


def _spec(before: RunRow, after: RunRow) -> Iterator[ChangedValue]:
    one, other = _values(before), _values(after)
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield ChangedValue(key, one.get(key), other.get(key))


def _values(row: RunRow) -> dict[str, str]:
    """Every value of a run's spec, as JSON, by its dotted key."""
    try:
        document = parse(row.spec_text, row.spec_path)
    except SpecError:
        return {}
    changes, _ = override.read(row.overrides)
    return dict(_flat(override.apply(document, changes, _short).data, ""))


def _short(document: Document, path: tuple[str | int, ...]) -> Any:
    """A short form (`model: a.pt2`) that gets something set below it: it keeps its own key."""
    value = document.at(path)
    return value if isinstance(value, (dict, list)) or value is None else {"": value}


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, ".".join(filter(None, (key, name))))
    elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        for index, part in enumerate(value):
            yield from _flat(part, f"{key}.{index}")
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def _text(before: RunRow, after: RunRow) -> Iterator[str]:
    first, second = (f"{row.id}/{row.spec_path}" for row in (before, after))
    return difflib.unified_diff(before.spec_text.splitlines(), after.spec_text.splitlines(), first, second, lineterm="")


# --- code


def _code(journal: Journal, before: RunRow, after: RunRow) -> CodeDiff:
    first, second = str(before.git.get("commit", "")), str(after.git.get("commit", ""))
    repository = Repository.around(Path(after.root)) if first and second else None
    commits = repository.apart(first, second) if repository else None
    if first and first == second:
        commits = (0, 0)
    digests = [_changes(journal, row) for row in (before, after)]
    same = None if digests == [None, None] else digests[0] == digests[1]
    return CodeDiff(before.git, after.git, commits, same)


def _changes(journal: Journal, row: RunRow) -> str | None:
    """Fingerprint of what was in no commit; the run's own id where it was not kept whole, so that it is like no other's."""
    if not row.git.get("dirty"):
        return None
    kept = _digest(journal.folder / "runs" / row.id / "changes.diff")
    return kept if kept is not None and row.git.get("changes") != "cut" else row.id


# --- nodes and their results


def _nodes(journal: Journal, before: str, after: str) -> Iterator[NodeDiff]:
    one, other = ({node.node: node for node in journal.nodes(run)} for run in (before, after))
    calls = [_sides(journal, run, known) for run, known in ((before, one), (after, other))]
    results = _results(journal.digests(before), journal.digests(after))
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


def _sides(journal: Journal, run: str, known: Mapping[str, NodeRow]) -> dict[str, NodeCalls]:
    """The nodes of a run in the order in which they ended a call, then those that ended none."""
    counts: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    for node, state, count, took in journal.totals(run):
        counts.setdefault(node, Counter())[state] += count
        seconds[node] = seconds.get(node, 0.0) + took
    found = {}
    for name in (*counts, *(name for name in known if name not in counts)):
        n, row = counts.get(name, Counter()), known.get(name)
        state, version = (row.state, row.version) if row else ("", "")
        found[name] = NodeCalls(n["done"], n["reused"], n["failed"], seconds.get(name, 0.0), state, version)
    return found


Digest = tuple[str, int | None, str]


def _results(before: Iterable[Digest], after: Iterable[Digest]) -> dict[str, Counter[str]]:
    """For each node: how many items have the same result, how many another, how many one only in one run.

    Both come sorted by node and item, so that they are walked side by side and never held.
    """
    found: dict[str, Counter[str]] = {}
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one or other:
        here, there = _place(one), _place(other)
        kind = "before" if here < there else "after" if there < here else "same" if one == other else "different"
        found.setdefault(min(here, there)[1], Counter())[kind] += 1
        one, other = next(left, None) if here <= there else one, next(right, None) if there <= here else other
    return found


def _place(digest: Digest | None) -> tuple[bool, str, int]:
    """What the digests are sorted by; the end comes after all of them."""
    return (True, "", 0) if digest is None else (False, digest[0], -1 if digest[1] is None else digest[1])


# --- outputs


def _outputs(before: RunRow, after: RunRow) -> Iterator[OutputDiff]:
    one, other = _named(before.outputs), _named(after.outputs)
    for name in dict.fromkeys((*one, *other)):
        if name not in OWN:
            yield _made(name, one.get(name), other.get(name))


def _named(outputs: tuple[str, ...]) -> dict[str, str]:
    """A run's outputs by what tells them apart: the path below the folder that they share."""
    files = [output for output in outputs if not is_remote(output) and Path(output).is_absolute()]
    shared = os.path.commonpath([str(Path(file).parent) for file in files]) if files else ""
    place = iter(range(len(outputs)))
    return {
        (str(Path(output).relative_to(shared)) if output in files else f"{next(place)}"): output for output in outputs
    }


def _made(name: str, before: str | None, after: str | None) -> OutputDiff:
    if before is None or after is None:
        return OutputDiff(name, before, after, "only after" if before is None else "only before")
    if any(is_remote(output) for output in (before, after)):
        return OutputDiff(name, before, after, "one address" if before == after else "not looked at")
    if not all(Path(output).is_absolute() for output in (before, after)):  # values, not files
        return OutputDiff(name, before, after, "same" if before == after else "different")
    sizes = _size(before), _size(after)
    if before == after:
        verdict = "one file" if sizes[0] is not None else "gone"
    elif None in sizes:
        verdict = "gone"
    else:
        verdict = "same" if sizes[0] == sizes[1] and _digest(Path(before)) == _digest(Path(after)) else "different"
    return OutputDiff(name, before, after, verdict, sizes)


def _size(path: str) -> int | None:
    file = Path(path)
    return file.stat().st_size if file.is_file() else None


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
