"""Clusters that a run brings up on Kubernetes through Dask's operator, as a spec says them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from swath.spec.clusters.cloud import NAME_PATTERN, EnvironmentName, refuse_secrets
from swath.spec.clusters.workers import Workers
from swath.spec.spec_model import SpecModel, mistake

LABEL_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""What Kubernetes takes for a namespace or an account."""
KEY_PATTERN = r"^([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""What it takes for the key of a label or a taint."""


class Toleration(SpecModel):
    """A taint of nodes that pods put up with."""

    key: str = Field(pattern=KEY_PATTERN)
    """Such as nvidia.com/gpu."""
    value: str | None = None
    """Any value when not given."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Any effect when not given."""


class KubernetesCluster(SpecModel):
    """Pods on Kubernetes: a scheduler, and workers of one process with one thread each. Dask's operator must be installed there."""

    kind: Literal["kubernetes"]
    context: str | None = None
    """Of the kubeconfig; the current one when not given."""
    namespace: str = Field(default="default", pattern=LABEL_PATTERN)
    """Where pods are made."""
    workers: Workers = Workers(min=1, max=2)
    """Worker pods: a number, or {min: 1, max: 8}, of which the operator takes as many as the scheduler asks for."""
    image: str = Field(pattern=NAME_PATTERN)
    """The container that all pods run, such as ghcr.io/acme/swath:1.2; made by `make image`."""
    cpu: float = Field(default=1, gt=0, le=256)
    """Cores of each worker."""
    memory_gb: float = Field(default=4, gt=0)
    """Memory of each worker in GB (10^9 bytes)."""
    gpus: int = Field(default=0, ge=0, le=1)
    """GPUs of each worker: more of them are more workers."""
    service_account: str | None = Field(default=None, pattern=LABEL_PATTERN)
    """With which pods read imagery and write results."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    """Environment variables of the workers. Whoever may look at pods can read them: no place for secrets."""
    secret_env: bool = False
    """Whether `env` may hold secrets all the same. Better give pods a `service_account` that may read and write the buckets."""
    node_selector: dict[Annotated[str, Field(pattern=KEY_PATTERN)], str] = Field(default_factory=dict)
    """Labels of the nodes that workers may be on."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints of nodes that workers put up with."""
    reach: Literal["forward", "inside", "load_balancer"] = "forward"
    """How this process reaches the scheduler: through the API server; by its name, from a pod of the same Kubernetes; or by an
    address that Kubernetes asks its cloud for."""
    idle_minutes: float = Field(default=30, ge=1)
    """Minutes without a call after which the operator removes everything: what ends it when this machine is lost."""
    max_hours: float = Field(default=12, gt=0, le=168)
    """Hours after which `pipe sweep` takes it for left behind, from any machine."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Seconds in which the scheduler and the least number of workers have to be up."""

    @field_validator("env")
    @classmethod
    def _plain(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if "$(" in value:
                raise mistake("{name} holds $(, which Kubernetes would take for a variable", at=(name,), name=name)
        return env

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        if not self.secret_env:
            refuse_secrets(self.env)
        return self
