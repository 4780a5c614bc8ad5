"""The index of pipelines in the user's cache folder: names and summaries, so that listing them imports no modules.

An index is used only if it passes all checks: its owner and permissions, its format, and the size and modification time of every
file that it was made from. An index that fails them, or cannot be written, is no error: the modules are imported instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.owned_file import owned_text, replace_text

FORMAT = 1
"""Version of the file format; files of other versions are ignored."""


@dataclass(frozen=True)
class IndexLimits:
    """Sizes and times of the files of indexes."""

    settle_s: float = 2.0
    """Seconds since the last change of a file before it is indexed: a file could change twice within the resolution of its
    modification time."""
    max_bytes: int = 4 << 20
    """Largest size of an index."""
    max_text: int = 1000
    """Largest number of characters of a name or a summary."""
    keep_days: float = 30
    """Age in days at which indexes are removed, when another one is written: those of deleted projects."""


@dataclass(frozen=True)
class IndexedPipeline:
    """What an index knows of a pipeline."""

    module: str
    """Key of its module among those of its source (see `swath.project.pipeline_sources`)."""
    name: str
    summary: str


@dataclass(frozen=True)
class Scan:
    """The pipelines of a source, from its modules or from its index."""

    pipelines: tuple[IndexedPipeline, ...]
    broken: Mapping[str, str]
    """Keys of the modules that could not be imported, with the reason. An index has no reasons, because these are imported again."""
    files: tuple[str, ...] = ()
    """Files that the modules consist of."""


class PipelineIndex:
    """A folder of indexes: one JSON file for each source of pipelines."""

    def __init__(self, folder: Path, limits: IndexLimits = IndexLimits()) -> None:
        self.folder = folder
        self.limits = limits

    @classmethod
    def of_user(cls, env: Mapping[str, str] | None = None) -> PipelineIndex | None:
        """The folder in $XDG_CACHE_HOME/swath or ~/.cache/swath; None for a user without a home folder."""
        base = (os.environ if env is None else env).get("XDG_CACHE_HOME", "")
        if os.path.isabs(base):  # noqa: PTH117 - of a text
            return cls(Path(base) / "swath" / "pipelines")
        try:
            return cls(Path.home() / ".cache" / "swath" / "pipelines")
        except RuntimeError:
            return None

    def read(self, source: str, modules: Collection[str]) -> Scan | None:
        """The index of a source; None if there is none that passes the checks.

        source: identity of the source and of its environment (versions, installed packages). modules: keys of its modules.
        """
        try:
            data = json.loads(owned_text(self._file(source), self.limits.max_bytes))
            return self._scan(data, source, set(modules))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, source: str, modules: Collection[str], scan: Scan, began: float) -> None:
        """Replace the index of a source; does nothing if that is not possible.

        began: time of the start of the scan, in seconds since the epoch.
        """
        if not all(map(self._fits, scan.pipelines)):
            return
        try:
            statuses = _stats(scan.files)
            if any(status.st_mtime > began - self.limits.settle_s for _, status in statuses):
                return
            files = [[file, status.st_mtime_ns, status.st_size] for file, status in statuses]
            pipelines = [[each.module, each.name, each.summary] for each in scan.pipelines]
            data = {"format": FORMAT, "source": source, "modules": sorted(modules), "pipelines": pipelines}
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._prune(began)
            replace_text(self._file(source), json.dumps(data | {"broken": sorted(scan.broken), "files": files}))
        except (OSError, ValueError):  # no space, no permission, a path that cannot be encoded
            return

    def _file(self, source: str) -> Path:
        return self.folder / f"{hashlib.sha256(source.encode(errors='surrogatepass')).hexdigest()[:32]}.json"

    def _scan(self, data: Any, source: str, modules: set[str]) -> Scan | None:
        """The checked content of a file; None if it is outdated. Raises ValueError, TypeError or KeyError if it is malformed."""
        if data["format"] != FORMAT or data["source"] != source or set(data["modules"]) != modules:
            return None
        broken = dict.fromkeys(map(_text, data["broken"]), "")
        pipelines = tuple(IndexedPipeline(*map(_text, each)) for each in data["pipelines"])
        named = {each.module for each in pipelines} | broken.keys()
        if not named <= modules or not all(map(self._fits, pipelines)):
            return None
        files = {_text(file): (time_ns, size) for file, time_ns, size in data["files"]}
        if any((status.st_mtime_ns, status.st_size) != files[file] for file, status in _stats(files)):
            return None
        return Scan(pipelines, broken, tuple(files))

    def _fits(self, each: IndexedPipeline) -> bool:
        """Whether its texts can be printed: no control characters, not too long."""
        texts = (each.name, each.summary)
        return bool(each.name) and all(text.isprintable() and len(text) <= self.limits.max_text for text in texts)

    def _prune(self, now: float) -> None:
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < now - self.limits.keep_days * 86400:
                    Path(entry.path).unlink()


def _stats(files: Iterable[str]) -> list[tuple[str, os.stat_result]]:
    return [(file, os.stat(file)) for file in files]  # noqa: PTH116 - for every file, at every start


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
