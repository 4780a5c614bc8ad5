"""Entries of `launchers` in the agent's file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from swath.spec.spec_model import SpecModel

Image = Annotated[str, Field(pattern=r"^[a-z0-9][a-zA-Z0-9._/:@-]{0,400}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,199}$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Amount = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgKMG]?[bB]?$")]


class DockerSettings(SpecModel):
    """A container of this machine's docker."""

    kind: Literal["docker"]
    image: Image
    memory: Amount | None = None
    """Such as 16g; all of the machine's when not given."""
    cpus: float | None = Field(default=None, gt=0)
    gpus: Literal["all"] | None = None
    network: Word | None = None
    """`host` where the server is on this machine."""
    volumes: tuple[Annotated[str, Field(pattern=r"^/[^:]*:/[^:]*(:ro)?$")], ...] = ()
    """Folders of this machine, as of docker's -v. One at /var/lib/swath keeps journals and results for later runs."""
    boot_s: float = Field(default=600, gt=0)
    """How long pulling the image and starting may take."""


class VertexSettings(SpecModel):
    """A custom job of Vertex AI."""

    kind: Literal["vertex"]
    project: Word
    region: tuple[Word, ...] = Field(min_length=1)
    """Tried in this order where one has no room."""
    image: Image
    machine: tuple[Word, ...] = Field(min_length=1)
    """Machine types; in each region tried in this order."""
    accelerator: Word | None = None
    """Such as NVIDIA_TESLA_T4."""
    accelerators: int = Field(default=1, ge=1)
    service_account: Word
    """What the run may do: not the agent's own account."""
    spot: bool = False
    disk_gb: int = Field(default=100, ge=100)
    limit_s: int = Field(default=43_200, gt=0, le=604_800)
    """Vertex AI ends the job after so long."""
    boot_s: float = Field(default=1800, gt=0)
    """How long waiting for a machine, pulling the image and starting may take."""


class BatchSettings(SpecModel):
    """A job of AWS Batch."""

    kind: Literal["batch"]
    region: Word
    queue: tuple[Word, ...] = Field(min_length=1)
    """Job queues, tried in this order where one has no machine in time."""
    definition: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}(:[1-9][0-9]*)?$")]
    """The job definition, best with its revision: it has the image, and the role that says what the run may do."""
    vcpus: float | None = Field(default=None, gt=0)
    """The definition's when not given."""
    memory_mib: int | None = Field(default=None, gt=0)
    gpus: int | None = Field(default=None, ge=1)
    limit_s: int = Field(default=43_200, ge=60)
    """AWS Batch ends the job after so long."""
    queue_s: float = Field(default=600, gt=0)
    """How long a job waits for a machine before the next queue is tried."""
    boot_s: float = Field(default=1800, gt=0)
    """How long waiting for a machine, pulling the image and starting may take."""


class KubernetesSettings(SpecModel):
    """A job of Kubernetes."""

    kind: Literal["kubernetes"]
    namespace: KubernetesName
    context: Annotated[str, Field(max_length=500)] | None = None
    """Of the kubeconfig; its current one, or that of the pod that the agent is in, when not given."""
    image: Image
    service_account: KubernetesName = "default"
    """What the run may do: not the agent's own account."""
    cpu: Annotated[str, Field(pattern=r"^[1-9][0-9]*m?$")] | None = None
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi)$")] | None = None
    """Such as 16Gi; the pod may not have more."""
    gpus: int | None = Field(default=None, ge=1)
    gpu: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")] = "nvidia.com/gpu"
    """The resource's name, where it is another one."""
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(default_factory=dict)
    """Labels of the nodes, such as those of spot machines."""
    tolerations: tuple[Annotated[str, Field(max_length=317)], ...] = ()
    """Keys of taints that do not keep the pod away."""
    limit_s: int = Field(default=43_200, gt=0)
    """Kubernetes ends the job after so long."""
    boot_s: float = Field(default=1800, gt=0)
    """How long waiting for a node, pulling the image and starting may take."""


LauncherSettings = Annotated[
    DockerSettings | VertexSettings | BatchSettings | KubernetesSettings, Field(discriminator="kind")
]
