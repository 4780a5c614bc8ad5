"""The Spec: what is asked. Every pipeline has its own subclass; unknown keys are mistakes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from swath.errors import PipelineError
from swath.spec.clusters.cluster import Cluster, LocalCluster
from swath.spec.clusters.prices import Usd
from swath.spec.fields.search import Search
from swath.spec.notify import NotifySettings
from swath.spec.spec_model import SpecModel as SpecModel


class Spec(SpecModel):
    """What every run may say, whatever its pipeline. Subclass it with a pipeline's own parameters."""

    reserved: ClassVar[frozenset[str]] = frozenset(
        {"pipeline", "name", "cluster", "on_error", "matrix", "notify", "budget", "stage", "search"}
    )
    """What belongs to the run; `matrix` is read before the rest (see swath.spec.matrix.matrix), so it is no field."""

    pipeline: str = ""
    """Name of the pipeline to run, as `pipe list` prints it."""
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=80)
    """A name for the run; the spec's file name when it is not given."""
    cluster: Cluster = Field(default_factory=LocalCluster)
    """Where to run: `local`, `inline`, a cluster named in swath.yaml, or a mapping with `kind`."""
    on_error: Literal["continue", "stop"] = "continue"
    """When one item of many fails for good: go on and set it aside (exit code 3), or stop the run (exit code 1)."""
    budget: Usd | None = None
    """What the machines of a cluster in a cloud may cost, such as `20 USD`: a run that surely costs more is refused, one that is
    about to is stopped and can be resumed. Elsewhere it has no effect."""
    stage: str | None = Field(default=None, pattern=r"^(s3|gs)://[a-z0-9][a-z0-9._-]+(/[^?#]*)?$")
    """A bucket, such as `s3://bucket/prefix` or `gs://bucket/prefix`, to which inputs on this machine are copied for clusters
    that cannot reach them. What is there already is not copied again."""
    search: Search | None = None
    """Beside `matrix`: try some of its variants by chance, and say which is the best."""
    notify: NotifySettings = Field(default_factory=NotifySettings)
    """Who is told how the run ends, besides those whom swath.yaml names."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "matrix" in cls.model_fields:
            raise PipelineError(
                f"{cls.__name__} has a field `matrix`, which belongs to every spec",
                remedy="give the field another name",
            )

    def parameters(self) -> dict[str, Any]:
        """The pipeline's own parameters, without what every run may say."""
        return {k: getattr(self, k) for k in type(self).model_fields if k not in self.reserved}
