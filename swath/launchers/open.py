"""From an entry of the agent's file to its launcher."""

from __future__ import annotations

from swath.launchers.contract import JobLauncher
from swath.launchers.settings import DockerSettings, VertexSettings


def open_launcher(settings: DockerSettings | VertexSettings) -> JobLauncher:
    """The launcher of an entry. Raises MissingExtra."""
    if isinstance(settings, DockerSettings):
        from swath.launchers.docker import DockerLauncher

        return DockerLauncher(settings)
    from swath.launchers.vertex import VertexLauncher

    return VertexLauncher(settings)
