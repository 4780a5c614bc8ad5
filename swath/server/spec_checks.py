"""Checks of a spec before it is queued: its YAML and pipeline by the server; all the rest where the project is on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from swath.errors import Mistake, SpecError
from swath.protocol.messages import RunRequest
from swath.server.published_files import PublishedFiles
from swath.server.spec_text import read_spec

TEMPLATES = 50
TEMPLATE_BYTES = 64 * 1024


class LocalSpecCheck(Protocol):
    """Checks a spec in a project's folder."""

    def __call__(self, folder: Path, request: RunRequest, *, thorough: bool) -> Sequence[Mistake]: ...


class SpecChecks:
    """What the server can say of a spec."""

    def __init__(self, published: PublishedFiles, local: LocalSpecCheck | None = None) -> None:
        self._published = published
        self._local = local

    @property
    def whole(self) -> bool:
        """Whether more than YAML and pipeline is checked."""
        return self._local is not None and self._published.here

    def mistakes(self, request: RunRequest, *, thorough: bool = False) -> tuple[Mistake, ...]:
        """All that is wrong with a spec, as far as it can be said here. thorough: what it names is looked at, too."""
        try:
            read_spec(request.spec)
        except SpecError as error:
            return tuple(error.mistakes)
        folder = self._published.root(request.project)
        if self._local is None or folder is None:
            return ()
        return tuple(self._local(folder, request, thorough=thorough))

    def areas(self, project: str) -> list[str]:
        """The GeoJSON files of areas that a project has, by path: where its folder is on this machine."""
        root = self._published.root(project)
        if root is None:
            return []
        found = [*root.glob("areas/*.geojson"), *root.glob("specs/areas/*.geojson")]
        return sorted(str(file.relative_to(root)) for file in found if file.is_file())[:TEMPLATES]

    def templates(self, project: str) -> dict[str, str]:
        """The specs that a project has in its folder `specs`, by path: where that folder is on this machine."""
        root = self._published.root(project)
        found: dict[str, str] = {}
        if root is None or not (root / "specs").is_dir():
            return found
        for file in sorted((root / "specs").glob("*.yaml"))[:TEMPLATES]:
            try:
                if file.is_file() and not file.is_symlink() and file.stat().st_size <= TEMPLATE_BYTES:
                    found[f"specs/{file.name}"] = file.read_text("utf-8")
            except (OSError, ValueError):  # not readable, or no text: it is no template
                continue
        return found
