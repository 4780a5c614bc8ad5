"""Modules that a spec names as `module:function`: factories of models, functions that are models, networks of trainings."""

from __future__ import annotations

from collections.abc import Iterator

from swath.spec.fields.model import ModelRef
from swath.spec.fields.network import Network
from swath.spec.spec_model import SpecModel


def modules_of(value: object) -> Iterator[str]:
    """The modules that a value of a spec names, in any depth."""
    if isinstance(value, ModelRef) and value.factory is not None:
        yield value.factory.partition(":")[0]
    if isinstance(value, ModelRef) and value.predictor is not None:
        yield value.predictor.partition(":")[0]
    if isinstance(value, Network) and ":" in value.name and not value.name.startswith(("smp:", "timm:")):
        yield value.name.partition(":")[0]
    if isinstance(value, SpecModel):
        for name in type(value).model_fields:
            yield from modules_of(getattr(value, name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from modules_of(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from modules_of(part)
