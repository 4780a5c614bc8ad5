"""From an entry of the agent's file to its launcher."""

from __future__ import annotations

from swath.launchers.contract import JobLauncher
from swath.launchers.settings import BatchSettings, DockerSettings, KubernetesSettings, VertexSettings


def open_launcher(settings: DockerSettings | VertexSettings | BatchSettings | KubernetesSettings) -> JobLauncher:
    """The launcher of an entry. Raises MissingExtra."""
    if isinstance(settings, DockerSettings):
        from swath.launchers.docker import DockerLauncher

        return DockerLauncher(settings)
    if isinstance(settings, BatchSettings):
        from swath.launchers.batch import BatchLauncher

        return BatchLauncher(settings)
    if isinstance(settings, KubernetesSettings):
        from swath.launchers.kubernetes import KubernetesLauncher

        return KubernetesLauncher(settings)
    from swath.launchers.vertex import VertexLauncher

    return VertexLauncher(settings)
