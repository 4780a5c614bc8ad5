"""Where a run executes, as a spec says it. The clusters themselves are in swath.cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _ClusterSpec(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class InlineCluster(_ClusterSpec):
    """This process, one call after the other: for debugging, tests and tiny runs."""

    kind: Literal["inline"] = "inline"


class LocalCluster(_ClusterSpec):
    """This machine: one single-threaded worker process per core, on loopback."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(None, ge=1, le=1024)
    """Worker processes; one per available core when not given."""
    memory_gb: float | None = Field(None, gt=0)
    """Memory limit of each worker in GB (10^9 bytes); an equal share of the machine's when not given."""


class AddressCluster(_ClusterSpec):
    """A Dask scheduler that is already running somewhere."""

    kind: Literal["address"] = "address"
    url: str = Field(pattern=r"^(tcp|tls|ws|wss)://.+")
    """The scheduler's address, such as tcp://10.0.0.5:8786."""


Cluster = Annotated[InlineCluster | LocalCluster | AddressCluster, Field(discriminator="kind")]
