"""Local paths in a spec that workers in a cloud cannot reach: a mistake for each, with its place and the remedy.

Workers read imagery and weights, and exchange large results. The client reads area files and contracts, and writes the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from swath.spec.fields.imagery import StacImagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Destination
from swath.spec.fields.paths import InputPath, InputPattern, OutputPath
from swath.spec.locations import is_remote
from swath.spec.spec_model import SpecModel

if TYPE_CHECKING:
    from swath.errors import Mistake
    from swath.spec.base import Spec
    from swath.spec.yaml.document import Document, Path

REMOTE_KINDS = ("aws", "gcp", "kubernetes")
"""Kinds of clusters whose workers cannot read files of this machine."""
STAGING_KINDS = (*REMOTE_KINDS, "address")
"""Kinds of clusters for which `stage` has an effect; workers of the others are on this machine."""
M = TypeVar("M", bound=SpecModel)
_INPUTS = [get_args(each)[1] for each in (InputPath, InputPattern)]
_OUTPUT = get_args(OutputPath)[1]


class LocalPath(NamedTuple):
    """A path on this machine, and the field that has it."""

    at: Path
    value: str
    output: bool
    """Whether it is written; else it is read."""


def is_local(path: str) -> bool:
    """Whether it is a path on this machine."""
    return not is_remote(path) or path.startswith(("/vsi", "file://"))


def local_paths(model: SpecModel, at: Path = ()) -> Iterator[LocalPath]:
    """The paths on this machine that workers need."""
    for name, info in type(model).model_fields.items():
        if _only_client(model, name):
            continue
        marks = [*info.metadata, *_marks(info.annotation)]
        reads, writes = any(mark in _INPUTS for mark in marks), _OUTPUT in marks
        for place, value in _leaves(getattr(model, name), (*at, name)):
            if isinstance(value, SpecModel):
                yield from local_paths(value, place)
            elif isinstance(value, str) and (reads or writes) and is_local(value):
                yield LocalPath(place, value, writes)


def mistakes(spec: Spec, document: Document, results: str | None) -> list[Mistake]:
    """Mistakes for what the workers of the spec's cluster cannot reach. results: the store of large results of swath.yaml."""
    if spec.cluster.kind not in REMOTE_KINDS:
        return []

    def mistake(at: Path, text: str) -> Mistake:
        where = document.locate(at)
        return document.marks[where].mistake(at if where == at else where or at, text)

    found = []
    for each in parameter_paths(spec):
        if each.output:
            found.append(
                mistake(each.at, f"{each.value}: workers cannot write here; name a bucket, such as s3://bucket/out")
            )
        elif spec.stage is None:
            text = f"{each.value} is on this machine, where workers cannot read it; copy it to a bucket, or write `stage: s3://bucket/prefix`"
            found.append(mistake(each.at, text))
    results = results_location(spec, results)
    if results is None or is_local(results):
        where = results or "the state folder of this machine"
        text = f"workers cannot reach the results in {where}; write `results: s3://bucket/prefix` (or gs://) in swath.yaml, or `stage`"
        found.append(mistake(("cluster",), text))
    return found


def results_location(spec: Spec, results: str | None) -> str | None:
    """Store of large results of a run: that of swath.yaml, or one below `stage` if workers cannot reach that."""
    if spec.cluster.kind in REMOTE_KINDS and spec.stage is not None and (results is None or is_local(results)):
        return f"{spec.stage.rstrip('/')}/results"
    return results


def parameter_paths(spec: Spec) -> Iterator[LocalPath]:
    """The paths among a pipeline's own parameters."""
    return (each for each in local_paths(spec) if each.at[0] not in spec.reserved)


def with_inputs(model: M, change: Callable[[Path, str], tuple[str, ...]], at: Path = ()) -> M:
    """The model with its inputs on this machine replaced by `change(path, value)`: in a list one may become several."""
    update: dict[str, Any] = {}
    places = {each.at for each in local_paths(model, at) if not each.output}
    for name in type(model).model_fields:
        value, place = getattr(model, name), (*at, name)
        if not any(each[: len(place)] == place for each in places):
            continue
        if isinstance(value, SpecModel):
            update[name] = with_inputs(value, change, place)
        elif isinstance(value, (tuple, list)):
            parts: list[Any] = []
            for index, part in enumerate(value):
                here = (*place, index)
                if isinstance(part, SpecModel):
                    parts.append(with_inputs(part, change, here))
                else:
                    parts += change(here, part) if here in places else (part,)
            update[name] = type(value)(parts)
        else:
            (update[name],) = change(place, value)
    return model.model_copy(update=update)


def _only_client(model: SpecModel, name: str) -> bool:
    """Whether only the client opens the path of a field: see the tasks of pipelines/predict.py that run on the client."""
    return (isinstance(model, ModelRef) and name == "contract") or (
        isinstance(model, (Destination, StacImagery)) and name in ("to", "catalog")
    )


def _marks(annotation: Any) -> list[Any]:
    """The metadata of `Annotated` in all parts of a type."""
    found = list(getattr(annotation, "__metadata__", ()))
    for part in get_args(annotation):
        if part not in found:
            found += _marks(part)
    return found


def _leaves(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from _leaves(part, (*at, index))
    else:
        yield at, value
