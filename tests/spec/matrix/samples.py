"""A Spec class that the tests of matrices vary, and functions that load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from swath.errors import SpecError
from swath.spec.base import Spec
from swath.spec.fields.output import Output
from swath.spec.fields.paths import OutputPath
from swath.spec.loading.load import LoadedSpec, parse
from swath.spec.project_file import ProjectFolder
from swath.spec.spec_model import SpecModel


class Step(SpecModel):
    """One step."""

    name: str = "s"
    size: int = Field(default=1, ge=1)


class Flood(Spec):
    """A small pipeline's spec."""

    count: int
    """How many."""
    how: str = "fast"
    flag: bool = False
    area: str = ""
    model: str = ""
    steps: tuple[Step, ...] = ()
    step: Step = Step()
    output: Output | None = None
    log: OutputPath | None = None


def read(text: str, *overrides: str, root: Path | None = None, env: dict[str, str] | None = None) -> LoadedSpec:
    home = ProjectFolder(root) if root else None
    return parse(
        f"pipeline: flood\n{text}",
        "f.yaml",
        overrides,
        None,
        home,
        find=lambda _: Flood,
        names=["flood"],
        env=env or {},
    )


def values(text: str, *overrides: str, **options: Any) -> list[dict[str, Any]]:
    return [variant.values for variant in read(text, *overrides, **options).variants]


def mistakes(text: str, *overrides: str, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text, *overrides, **options)
    return str(caught.value).splitlines()
