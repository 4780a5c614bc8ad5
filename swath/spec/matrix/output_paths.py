"""Which fields of a Spec class are paths that are written, beside its outputs."""

from __future__ import annotations

from typing import get_args

from swath.spec.base import Spec
from swath.spec.fields.paths import OutputPath


def is_output_path(kind: type[Spec], name: str) -> bool:
    """Whether a field is an OutputPath, or may be one."""
    info = kind.model_fields[name]
    return info.metadata == list(OutputPath.__metadata__) or OutputPath in get_args(info.annotation)  # type: ignore[attr-defined]
