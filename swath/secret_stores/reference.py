"""Secrets of the agent's file: what a run has as an environment variable, and which store has its value."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from swath.spec.spec_model import SpecModel


def _harmless(name: str) -> str:
    if name in ("PATH", "HOME") or name.startswith(("SWATH_", "GIT_", "LD_", "PYTHON")):
        raise ValueError("is a variable that changes what a run executes: give the secret another name")
    return name


SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$"), AfterValidator(_harmless)]
Projects = tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")], ...] | None


class _Reference(SpecModel):
    projects: Projects = None
    """Whose runs get it; all when not given."""


class EnvSecret(_Reference):
    """A variable of the supervisor's own environment."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class FileSecret(_Reference):
    """A file of the machine that the run is on; a newline at its end is left out."""

    file: Annotated[str, Field(pattern=r"^/.+")]


class GcpSecret(_Reference):
    """Google Secret Manager."""

    gcp: Annotated[str, Field(pattern=r"^projects/[^/]+/secrets/[^/]+$")]
    version: Annotated[str, Field(pattern=r"^(latest|[1-9][0-9]*)$")] = "latest"


class AwsSecret(_Reference):
    """AWS Secrets Manager: a name or an ARN."""

    aws: str = Field(min_length=1, max_length=2048)
    field: str | None = None
    """Of a secret that is JSON."""


class SsmSecret(_Reference):
    """A parameter of the AWS Systems Manager."""

    ssm: str = Field(min_length=1, max_length=2048)


class KubernetesSecret(_Reference):
    """A Secret of the Kubernetes that the run's pod is in, or that the kubeconfig names."""

    kubernetes: Annotated[
        str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
    ]
    """NAMESPACE/NAME."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")]


SecretReference = EnvSecret | FileSecret | GcpSecret | AwsSecret | SsmSecret | KubernetesSecret
