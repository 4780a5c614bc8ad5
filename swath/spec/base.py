"""Spec: the base class of all specs, with the fields that every pipeline has. A pipeline subclasses it with its parameters."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from swath.errors import PipelineError
from swath.spec.clusters.cluster import AutoCluster, Cluster
from swath.spec.clusters.prices import Usd
from swath.spec.fields.search import Search
from swath.spec.notify import NotifySettings
from swath.spec.spec_model import SpecModel as SpecModel


class Spec(SpecModel):
    """The fields of every spec. Subclass it with a pipeline's own parameters; unknown keys are mistakes."""

    reserved: ClassVar[frozenset[str]] = frozenset(
        {"pipeline", "name", "cluster", "on_error", "matrix", "notify", "budget", "stage", "search"}
    )
    """Names of the fields of the run, not of the pipeline. `matrix` is read before the others (see swath.spec.matrix.matrix) and is
    no field."""

    pipeline: str = ""
    """Name of the pipeline to run, as `pipe list` prints it."""
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=80)
    """A name for the run; the spec's file name when it is not given."""
    cluster: Cluster = Field(default_factory=AutoCluster)
    """Where to run: `auto`, `local`, `inline`, a cluster named in swath.yaml, or a mapping with `kind`."""
    on_error: Literal["continue", "stop"] = "continue"
    """When one item of many fails after its retries: go on without it (exit code 3), or stop the run (exit code 1)."""
    budget: Usd | None = None
    """Limit of what the machines of a cluster in a cloud may cost, such as `20 USD`. A run whose lowest estimate is higher is
    refused; a run that is about to reach it is stopped and can be resumed. No effect on other clusters."""
    stage: str | None = Field(default=None, pattern=r"^(s3|gs)://[a-z0-9][a-z0-9._-]+(/[^?#]*)?$")
    """A bucket, such as `s3://bucket/prefix` or `gs://bucket/prefix`, to which inputs on this machine are copied for clusters
    that cannot reach them. Files that are there already are not copied again."""
    search: Search | None = None
    """With `matrix`: run a random sample of its variants, and mark the best."""
    notify: NotifySettings = Field(default_factory=NotifySettings)
    """Notifications when the run ends, in addition to those of swath.yaml."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "matrix" in cls.model_fields:
            raise PipelineError(
                f"{cls.__name__} has a field `matrix`, which belongs to every spec",
                remedy="give the field another name",
            )

    def parameters(self) -> dict[str, Any]:
        """The pipeline's own parameters: values by name, without the fields that every spec has."""
        return {k: getattr(self, k) for k in type(self).model_fields if k not in self.reserved}
