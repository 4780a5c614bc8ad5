"""Spec classes that the tests of specs load, and functions that load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from swath.errors import Mistake, PipelineError, SpecError
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.loading.load import LoadedSpec, load, parse
from swath.spec.spec_model import SpecModel

CANARY = "canary-7f3a9"


class Step(SpecModel):
    """One step."""

    name: str
    size: int = Field(default=1, ge=1)


class Flood(Spec):
    """A small pipeline's spec."""

    threshold: float = 0.5
    count: int = 1
    bands: tuple[str | int, ...] = ()
    steps: tuple[Step, ...] = ()
    named: dict[str, Step] = Field(default_factory=dict)
    how: Literal["fast", "exact"] = "fast"
    flag: bool = False
    text: str = ""
    output: Output | None = None


class Map(Spec):
    """All nouns."""

    area: Area
    imagery: Imagery
    model: ModelRef
    output: Output


KINDS: dict[str, type[Spec]] = {"flood": Flood, "map": Map}


def find(name: str) -> type[Spec]:
    if name not in KINDS:
        raise PipelineError(f"there is no pipeline {name!r}")
    return KINDS[name]


def read(text: str, *overrides: str, env: dict[str, str] | None = None, **options: Any) -> LoadedSpec:
    return parse(text, "f.yaml", overrides, find=find, names=list(KINDS), env=env or {}, **options)


def flood(text: str = "", *overrides: str, **options: Any) -> Any:
    """The Flood that a text describes."""
    return read(f"pipeline: flood\n{text}", *overrides, **options).spec


def mistakes(text: str, *overrides: str, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text, *overrides, **options)
    return str(caught.value).splitlines()


def outcome(text: str, *overrides: str) -> LoadedSpec | list[Mistake]:
    """What becomes of a text: loaded, or mistakes."""
    try:
        return read(text, *overrides)
    except SpecError as error:
        return error.mistakes


def only(text: str, *overrides: str, **options: Any) -> str:
    """The one mistake of a Flood."""
    (found,) = mistakes(f"pipeline: flood\n{text}", *overrides, **options)
    return found


MAP = """\
pipeline: map
area: areas/a.geojson
imagery: {source: files, paths: [imagery/*.tif]}
model: water.pt2
output: out/map
"""


def load_map(
    project_folder: Path, text: str = MAP, *overrides: str, cluster: str | None = None, env: Any = None
) -> Any:
    file = project_folder / "specs" / "run.yaml"
    file.write_text(text)
    return load(file, overrides, cluster, find=find, names=list(KINDS), env=env or {})
