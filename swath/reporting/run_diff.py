"""Diff of two runs: specs, code, nodes, outputs and times. Reads the journal and the files of outputs; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.project.git import Repository
from swath.reporting.node_diff import NodeDiff, diff_nodes
from swath.reporting.output_diff import OutputDiff, diff_outputs, file_digest
from swath.reporting.spec_diff import ChangedValue, changed_values, text_diff


@dataclass(frozen=True)
class CodeDiff:
    """The commits of two runs: the `git` of each, see swath.project.provenance.CodeSource."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    commits: tuple[int, int] | None
    """Number of commits that only the first has in its history, and that only the second has; None when unknown."""
    same_changes: bool | None
    """Whether the uncommitted changes are the same; None when neither run had any."""


@dataclass(frozen=True)
class RunDiff:
    """Two runs side by side: the first is `before`, the second `after`."""

    before: RunRow
    after: RunRow
    spec: tuple[ChangedValue, ...]
    text: tuple[str, ...]
    """Lines of a unified diff of the specs as written."""
    code: CodeDiff
    nodes: tuple[NodeDiff, ...]
    outputs: tuple[OutputDiff, ...]
    seconds: tuple[float | None, float | None] = (None, None)
    """Of all sessions together; None of a run that has not ended."""

    @property
    def ratio(self) -> float | None:
        """Time of the second run divided by that of the first; None when either is unknown."""
        before, after = self.seconds
        return after / before if before and after is not None else None


def diff_runs(journal: Journal, before: RunRow, after: RunRow) -> RunDiff:
    """Compare two runs of a journal."""
    return RunDiff(
        before,
        after,
        tuple(changed_values(before, after)),
        tuple(text_diff(before, after)),
        _code(journal, before, after),
        tuple(diff_nodes(journal, before.id, after.id)),
        tuple(diff_outputs(before.outputs, after.outputs)),
        (_seconds(before), _seconds(after)),
    )


def _seconds(row: RunRow) -> float | None:
    return None if row.finished is None else row.seconds


def _code(journal: Journal, before: RunRow, after: RunRow) -> CodeDiff:
    first, second = str(before.git.get("commit", "")), str(after.git.get("commit", ""))
    repository = Repository.around(Path(after.root)) if first and second else None
    commits = repository.count_apart(first, second) if repository else None
    if first and first == second:
        commits = (0, 0)
    digests = [_uncommitted(journal, row) for row in (before, after)]
    same = None if digests == [None, None] else digests[0] == digests[1]
    return CodeDiff(before.git, after.git, commits, same)


def _uncommitted(journal: Journal, row: RunRow) -> str | None:
    """Digest of a run's uncommitted changes; None without any. Of changes that were not stored whole, the run's own id,
    which equals no other."""
    if not row.git.get("dirty"):
        return None
    digest = file_digest(journal.folder / "runs" / row.id / "changes.diff")
    return digest if digest is not None and row.git.get("changes") != "cut" else row.id
