"""Whether the outputs of a job can be written, before anything is computed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import StateError, SwathError, UsageError
from swath.spec.locations import is_remote
from swath.spec.matrix.variants import places
from swath.spec.yaml.document import dotted

if TYPE_CHECKING:
    from swath.runner.job import Job


def output_errors(job: Job) -> Iterator[SwathError]:
    """An error for each output on this machine that is a file already, or lies where nothing can be written. Leaves nothing behind."""
    tried: dict[Path, str] = {}
    for spec in job.loaded.specs:
        for field, place in places(spec):
            if is_remote(place):
                continue
            folder = Path(place)
            if (
                len(field) > 1 and folder.exists() and not folder.is_dir()
            ):  # `to` of an output; other paths may be files
                yield UsageError(f"{dotted(field)}: {folder} is a file, not a folder", remedy="choose another folder")
                continue
            above = _existing(folder.parent)
            for there in dict.fromkeys([above, *([folder] if folder.is_dir() else [])]):
                if there not in tried:
                    tried[there] = _why_not(there)
                if tried[there]:
                    what = f"{dotted(field)}: {folder} cannot be written: {tried[there]}"
                    yield StateError(what, remedy=f"choose another {dotted(field)}")
                    break


def check_outputs(job: Job) -> None:
    """Raise the first of `output_errors`."""
    for error in output_errors(job):
        raise error


def _existing(folder: Path) -> Path:
    """The nearest folder at or above that exists, or the file in its place."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _why_not(folder: Path) -> str:
    """Why no file can be made in a folder; empty when one can."""
    if not folder.is_dir():
        return f"{folder} is a file"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{error.strerror or error} ({folder})"
