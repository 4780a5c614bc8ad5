"""The folders of a project's own pipelines, read from swath.yaml without validating its other fields: for a fast start."""

from __future__ import annotations

import os
from pathlib import Path

from swath.spec.project_root import FILE, has_settings, project_root
from swath.spec.yaml.document import parse, read


def pipeline_folders(start: Path) -> tuple[Path, ...]:
    """`Project.find(start).pipelines`, without importing the models of swath.yaml where its `pipelines` are plain folders.

    Raises SpecError for a swath.yaml that is no YAML, or whose `pipelines` are wrong.
    """
    root = project_root(start)
    file = root / FILE
    if not has_settings(root):
        return _default(root)
    document = parse(read(str(file)), str(file))
    fields = document.data if isinstance(document.data, dict) else {}
    folders = fields.get("pipelines")
    if document.mistakes or (document.data and not fields):
        return _validated(start)
    if folders is None:
        return _default(root)
    if isinstance(folders, list) and all(isinstance(f, str) and "$" not in f and (root / f).is_dir() for f in folders):
        return tuple(Path(os.path.normpath(root / folder)) for folder in folders)
    return _validated(start)


def _default(root: Path) -> tuple[Path, ...]:
    folder = root / "pipelines"
    return (folder,) if folder.is_dir() else ()


def _validated(start: Path) -> tuple[Path, ...]:
    from swath.project.project import Project

    return Project.find(start).pipelines
