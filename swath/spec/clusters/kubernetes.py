"""Clusters on Kubernetes in a spec: pods that a run starts through Dask's operator, and deletes at its end."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from swath.spec.clusters.cloud import NAME_PATTERN, EnvironmentName, refuse_secrets
from swath.spec.clusters.workers import Workers
from swath.spec.spec_model import SpecModel, mistake

LABEL_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""Names of namespaces and service accounts."""
KEY_PATTERN = r"^([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""Keys of labels and taints."""


class Toleration(SpecModel):
    """A toleration of pods: a taint of nodes on which they may run."""

    key: str = Field(pattern=KEY_PATTERN)
    """Key of the taint, such as nvidia.com/gpu."""
    value: str | None = None
    """Value of the taint; any value when not given."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; any effect when not given."""


class KubernetesCluster(SpecModel):
    """Pods on Kubernetes: a scheduler, and workers of one process with one thread each. Dask's operator must be installed there."""

    kind: Literal["kubernetes"]
    context: str | None = None
    """Context of the kubeconfig; the current one when not given."""
    namespace: str = Field(default="default", pattern=LABEL_PATTERN)
    """Namespace of the pods."""
    workers: Workers = Workers(min=1, max=2)
    """Number of worker pods, or {min: 1, max: 8}: then the operator scales them with the load of the scheduler."""
    image: str = Field(pattern=NAME_PATTERN)
    """Container image of all pods, such as ghcr.io/acme/swath:1.2; built by `make image`."""
    cpu: float = Field(default=1, gt=0, le=256)
    """Cores of each worker."""
    memory_gb: float = Field(default=4, gt=0)
    """Memory of each worker in GB (10^9 bytes)."""
    gpus: int = Field(default=0, ge=0, le=1)
    """GPUs of each worker, 0 or 1; for more GPUs take more workers."""
    service_account: str | None = Field(default=None, pattern=LABEL_PATTERN)
    """Service account of the pods, with permissions to read imagery and write results."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    """Environment variables of the workers. Everybody who can describe the pods can read them, except secrets: values from
    `${env:NAME}` and names such as API_TOKEN. Those are set when a worker has connected, over the run's encrypted connection."""
    secret_env: bool = False
    """Allow names of secrets in `env`. A `service_account` that may read and write the buckets is safer."""
    node_selector: dict[Annotated[str, Field(pattern=KEY_PATTERN)], str] = Field(default_factory=dict)
    """Labels of the nodes on which workers may run."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints of nodes that workers tolerate."""
    reach: Literal["forward", "inside", "load_balancer"] = "forward"
    """How this process connects to the scheduler: through the API server (port forwarding), by its name from a pod of the same
    Kubernetes, or by a load balancer of the cloud."""
    idle_minutes: float = Field(default=30, ge=1)
    """Minutes without a call after which the operator deletes the cluster, even if this machine is lost."""
    max_hours: float = Field(default=12, gt=0, le=168)
    """Hours after which `pipe sweep` deletes it, from any machine."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Timeout in seconds for the start of the scheduler and of the smallest number of workers."""

    @field_validator("env")
    @classmethod
    def _plain(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if "$(" in value:
                raise mistake("{name} contains $(, which Kubernetes would read as a variable", at=(name,), name=name)
        return env

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        if not self.secret_env:
            refuse_secrets(self.env)
        return self
