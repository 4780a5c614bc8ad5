"""The cluster of a run in a spec: this machine, the address of a Dask scheduler, or machines in a cloud. swath.cluster starts them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.spec.clusters.workers import Workers
from swath.spec.fields.paths import InputPath, validation_context
from swath.spec.spec_model import ShortForm, SpecModel, mistake
from swath.spec.spelling import did_you_mean


class InlineCluster(SpecModel):
    """This process: calls run one after the other. For debugging, tests and small runs."""

    kind: Literal["inline"] = "inline"


class _ThisMachine(SpecModel):
    """Fields of clusters of worker processes on this machine."""

    workers: Workers | None = None
    """Number of worker processes, or {min: 1, max: 8}; one per available core when not given."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory limit of each worker in GB (10^9 bytes); an equal share of the machine's when not given."""
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Dask resources of each worker beside `cpu` and `memory`, such as {gpu: 1}. Tasks request them with resources={"gpu": 1}."""

    @model_validator(mode="after")
    def _own_resources(self) -> Self:
        for name in ("cpu", "memory"):
            if name in self.resources:
                raise mistake("every worker offers {name} by itself; leave it out", at=("resources", name), name=name)
        return self


class LocalCluster(_ThisMachine):
    """This machine: one single-threaded worker process per core, on loopback."""

    kind: Literal["local"] = "local"


class AutoCluster(_ThisMachine):
    """This process for a small run; local workers, as of `local`, as soon as the calls that are left are worth their start."""

    kind: Literal["auto"] = "auto"

    def local(self) -> LocalCluster:
        """The workers that it may bring up."""
        return LocalCluster(workers=self.workers, memory_gb=self.memory_gb, resources=self.resources)


class TlsFiles(SpecModel):
    """PEM files for TLS connections to a scheduler."""

    ca: InputPath
    """Certificate of the authority that signed the certificates of scheduler and workers."""
    cert: InputPath
    """The client's certificate."""
    key: InputPath
    """Its private key, without a password."""


class AddressCluster(SpecModel):
    """A Dask scheduler that is already running."""

    kind: Literal["address"] = "address"
    url: str = Field(pattern=r"^(tcp|tls|ws|wss)://.+")
    """The scheduler's address, such as tls://10.0.0.5:8786."""
    tls: TlsFiles | None = None
    """Certificates; required for tls:// and wss:// addresses."""

    @model_validator(mode="after")
    def _tls_where_it_belongs(self) -> AddressCluster:
        scheme = self.url.partition(":")[0]
        if scheme in ("tls", "wss") and self.tls is None:
            raise mistake(
                "a {scheme}:// address needs the files to connect with: write tls: {ca: ..., cert: ..., key: ...}",
                at=("url",),
                scheme=scheme,
            )
        if scheme in ("tcp", "ws") and self.tls is not None:
            raise mistake("a {scheme}:// address is not encrypted; write tls:// or wss://", at=("url",), scheme=scheme)
        return self


def _expand(value: Any, info: Any) -> Any:
    """The full form of `auto`, `local`, `inline`, a name from swath.yaml, an address, or a mapping without `kind`."""
    if isinstance(value, str):
        return _named(value, info)
    if isinstance(value, dict):
        kind = value.get("kind", "address" if "url" in value else "local")
        return {"kind": kind, **value}
    return value


def _named(name: str, info: Any) -> Any:
    if name in ("auto", "local", "inline"):
        return {"kind": name}
    if "://" in name:
        return {"kind": "address", "url": name}
    context = validation_context(info)
    clusters = context.clusters if context else {}
    if name in clusters:
        return clusters[name].model_dump(exclude_none=True)
    known = ["auto", "local", "inline", *clusters]
    raise mistake(f"there is no cluster '{{name}}'; known are {', '.join(known)}{did_you_mean(name, known)}", name=name)


Cluster = Annotated[
    AutoCluster | InlineCluster | LocalCluster | AddressCluster | AwsCluster | GcpCluster | KubernetesCluster,
    Field(discriminator="kind"),
    ShortForm(
        _expand,
        {
            "type": "string",
            "description": "`auto`, `local`, `inline`, a cluster named in swath.yaml, or a scheduler's address",
        },
    ),
]
"""Any cluster. In YAML a name, a scheduler's address, or a mapping with `kind`."""
