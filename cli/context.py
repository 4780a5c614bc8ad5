"""The project of the current folder, which commands without a spec work on."""

from __future__ import annotations

from pathlib import Path

from swath.project.project import Project


def here() -> Project:
    """The project of the current folder."""
    return Project.find(Path.cwd())
