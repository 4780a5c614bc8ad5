"""The pipelines of a project that is not trusted: files that are not imported, only searched for a name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from swath.project.trust import not_loaded

_MAX_BYTES = 4 << 20
"""Bytes of all files together. A project with more is taken to define every name."""


class UntrustedPipelines:
    """The folders of pipelines of an untrusted project."""

    def __init__(self, folders: Iterable[Path], root: Path) -> None:
        self._folders = tuple(folders)
        self.root = root
        """The folder that is not trusted."""

    @property
    def notice(self) -> str:
        """The line that says that pipelines are not loaded; empty if there are none."""
        return not_loaded(self.root) if self._files else ""

    def may_define(self, name: str) -> bool:
        """Whether a file may define a pipeline of this name, which would then be meant instead of another of the same name."""
        if self._text is None:
            return True
        # `def name(` with @pipeline, or @pipeline(name="name").
        return (
            re.search(rf"""\b(?:async\s+)?def\s+{re.escape(name)}\b|['"]{re.escape(name)}['"]""", self._text)
            is not None
        )

    @cached_property
    def _files(self) -> list[str]:
        return [entry for folder in self._folders for entry in _modules(folder)]

    @cached_property
    def _text(self) -> str | None:
        """The text of all files; None when it is too large or not readable."""
        texts, left = [], _MAX_BYTES
        for file in self._files:
            try:
                handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                with open(handle, "rb") as stream:  # noqa: PTH123 - a handle, not a path
                    if not stat.S_ISREG(os.fstat(handle).st_mode):
                        return None
                    content = stream.read(left + 1)
            except OSError:
                return None
            left -= len(content)
            if left < 0:
                return None
            texts.append(content.decode("utf-8", "replace"))
        return "\n".join(texts)


def _modules(folder: Path) -> Iterator[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return
    yield from (str(folder / name) for name in names if name.endswith(".py") and not name.startswith("_"))
