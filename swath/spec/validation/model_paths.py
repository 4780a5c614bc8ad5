"""The models at a path of a document: their fields, tag values and short forms, by the annotations of a Spec class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from swath.spec.spec_model import ShortForm, SpecModel
from swath.spec.yaml.document import Document, Path


def field_names(spec: type[BaseModel], document: Document, path: Path) -> list[str]:
    """Keys that are allowed in the mapping at `path`."""
    models = models_at(spec, document, path)
    reserved = [name for model in models for name in sorted(getattr(model, "reserved", ()))]
    return list(dict.fromkeys([*(name for model in models for name in model.model_fields), *reserved]))


def models_at(spec: type[BaseModel], document: Document, path: Path) -> list[type[BaseModel]]:
    """The models that the value at `path` may be validated as."""
    return [kind for kind in _types_at(spec, document, path) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def tag_values(spec: type[BaseModel], document: Document, path: Path, tag: str) -> list[str]:
    """Values of the key that distinguishes models (`kind`, `source`), for the mapping at `path`."""
    found = [model.model_fields[tag] for model in models_at(spec, document, path) if tag in model.model_fields]
    return [str(choice) for info in found for choice in get_args(info.annotation)]


def mapping_at(spec: type[BaseModel], document: Document, path: Path, info: Any) -> Any:
    """The value at `path`, a short form as its mapping. `info` has the validation's `context`."""
    value = document.at(path)
    for kind in _types_at(spec, document, path):
        expand = kind.expand if isinstance(kind, ShortForm) else getattr(kind, "as_mapping", None)
        try:
            full = expand(value, info) if expand else value
        except ValueError:  # not a short form of this model; validation reports it
            continue
        if isinstance(full, dict):
            return full
    return value


def _types_at(spec: Any, document: Document, path: Path) -> list[Any]:
    """The models and ShortForms that the value at `path` may have, by the annotations along the path."""
    kinds = [spec]
    for depth, segment in enumerate(path):
        kinds = [below for kind in kinds for below in _below(kind, segment)]
        kinds = _fitting(kinds, document.at(path[: depth + 1]) if path[: depth + 1] in document.marks else None)
    return kinds


def _below(kind: Any, segment: str | int) -> list[Any]:
    """The types of `kind` at a key or an index."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        info = kind.model_fields.get(str(segment))
        return (
            []
            if info is None
            else [*_members(info.annotation), *(m for m in info.metadata if isinstance(m, ShortForm))]
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(origin, type) and arguments:
        if issubclass(origin, Mapping):
            return _members(arguments[-1])
        if issubclass(origin, tuple) and arguments[-1] is not Ellipsis and isinstance(segment, int):
            return _members(arguments[segment]) if segment < len(arguments) else []
        if issubclass(origin, Sequence):
            return _members(arguments[0])
    return []


def _members(annotation: Any) -> list[Any]:
    """The types in an annotation, without Annotated, Union and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        return [*_members(inner), *(m for m in metadata if isinstance(m, ShortForm))]
    if origin in (Union, UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return [annotation, *annotation.forms]
    return [] if annotation is type(None) else [annotation]


def _fitting(kinds: list[Any], value: Any) -> list[Any]:
    """The types that fit a mapping by its discriminator (`kind`, `source`), else by its keys."""
    if not isinstance(value, dict):
        return kinds
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    others = [kind for kind in kinds if kind not in models]
    fitting = [model for model in models if _tags_fit(model, value)] or models
    most = max((len(value.keys() & model.model_fields.keys()) for model in fitting), default=0)
    return [*(m for m in fitting if len(value.keys() & m.model_fields.keys()) == most), *others]


def _tags_fit(model: type[BaseModel], value: dict[str, Any]) -> bool:
    literals = {name: get_args(i.annotation) for name, i in model.model_fields.items() if _is_tag(i.annotation)}
    return all(value[name] in choices for name, choices in literals.items() if name in value)


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1
