"""What the spec of an untrusted project may not say: names of Python code, and clusters other than this machine.

A Dask scheduler, or a machine with an image of somebody else's, sends pickles to the client: to connect to one is to run its code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swath.errors import Mistake
from swath.spec.base import Spec
from swath.spec.clusters.cluster import AutoCluster, InlineCluster, LocalCluster
from swath.spec.fields.model import ModelRef
from swath.spec.fields.network import Network
from swath.spec.spec_model import SpecModel
from swath.spec.yaml import document as documents


def mistakes(spec: Spec, document: documents.Document, root: Path, results: str | None) -> list[Mistake]:
    """A mistake for each such value. root: of the project, for the message. results: as in swath.yaml."""
    remedy = f"the folder {root} is not trusted (pipe trust {root})"
    found = []
    for path, what in _refused(spec, ()):
        place = document.locate(path)
        found.append(document.marks[place].mistake(path, f"{what}; {remedy}"))
    if results is not None:
        found.append(
            document.marks[()].mistake((), f"results are read from {results}, which swath.yaml names; {remedy}")
        )
    return found


def _refused(value: object, path: documents.Path) -> Iterator[tuple[documents.Path, str]]:
    if isinstance(value, Spec) and not isinstance(value.cluster, AutoCluster | InlineCluster | LocalCluster):
        yield (*path, "cluster"), f"a cluster of kind {value.cluster.kind} is connected to or started"
    if isinstance(value, ModelRef) and value.factory is not None:
        yield (*path, "factory"), f"{value.factory} is Python code"
    if isinstance(value, ModelRef) and value.predictor is not None:
        yield (*path, "predictor"), f"{value.predictor} is Python code"
    if isinstance(value, ModelRef) and value.trust:
        yield (*path, "trust"), "a checkpoint is trusted"
    if isinstance(value, Network) and ":" in value.name and not value.name.startswith(("smp:", "timm:")):
        yield (*path, "name"), f"{value.name} is Python code"
    if isinstance(value, SpecModel):
        for name in type(value).model_fields:
            yield from _refused(getattr(value, name), (*path, name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _refused(part, (*path, index))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _refused(part, (*path, key))
