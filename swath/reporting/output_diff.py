"""Diff of the outputs of two runs: local files are compared byte for byte, URLs by their address alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swath.spec.locations import is_remote

REPORTS = frozenset({"report.html", "report.json"})
"""Files beside a map that differ in every run and are left out."""


@dataclass(frozen=True)
class OutputDiff:
    """One output of either run, paired by its path below the folder that its run's outputs share."""

    name: str
    before: str | None
    """Path, URL or value; None when that run has no such output."""
    after: str | None
    verdict: str
    """same, different, only before, only after, one file or one address (the later run replaced it), gone, or not compared."""
    sizes: tuple[int | None, int | None] = (None, None)
    """Bytes of the files now; None of what is no file."""


def diff_outputs(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[OutputDiff]:
    """Outputs of two runs, paired by name. Files of equal size are read."""
    one, other = _by_name(before), _by_name(after)
    for name in dict.fromkeys((*one, *other)):
        if name not in REPORTS:
            yield _diff(name, one.get(name), other.get(name))


def file_digest(file: Path) -> str | None:
    """SHA-256 of a file; None when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _by_name(outputs: tuple[str, ...]) -> dict[str, str]:
    """A run's outputs by their path below the folder that they share; URLs and values by their position."""
    files = [output for output in outputs if not is_remote(output) and Path(output).is_absolute()]
    shared = os.path.commonpath([str(Path(file).parent) for file in files]) if files else ""
    position = iter(range(len(outputs)))
    return {
        (str(Path(output).relative_to(shared)) if output in files else f"{next(position)}"): output
        for output in outputs
    }


def _diff(name: str, before: str | None, after: str | None) -> OutputDiff:
    if before is None or after is None:
        return OutputDiff(name, before, after, "only after" if before is None else "only before")
    if any(is_remote(output) for output in (before, after)):
        return OutputDiff(name, before, after, "one address" if before == after else "not compared")
    if not all(Path(output).is_absolute() for output in (before, after)):  # values, not files
        return OutputDiff(name, before, after, "same" if before == after else "different")
    sizes = _size(before), _size(after)
    if before == after:
        verdict = "one file" if sizes[0] is not None else "gone"
    elif None in sizes:
        verdict = "gone"
    else:
        same = sizes[0] == sizes[1] and file_digest(Path(before)) == file_digest(Path(after))
        verdict = "same" if same else "different"
    return OutputDiff(name, before, after, verdict, sizes)


def _size(path: str) -> int | None:
    file = Path(path)
    return file.stat().st_size if file.is_file() else None
