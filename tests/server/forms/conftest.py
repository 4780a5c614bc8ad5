"""The schema of the pipelines that come with swath, as an agent sends it, and their specs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.server.forms.spec_schema import SpecSchema

SPECS = Path(__file__).resolve().parents[3] / "specs"
FILES = sorted(SPECS.glob("*.yaml"))


def schemas() -> dict[str, Any]:
    """What `pipe schema` prints, from the files of single pipelines."""
    found: dict[str, Any] = {"allOf": [], "definitions": {}}
    for file in sorted(SPECS.glob("*.schema.json")):
        spec = json.loads(file.read_text("utf-8"))
        found["definitions"] |= spec.pop("definitions")
        name = file.name.partition(".")[0]
        found["allOf"].append({"if": {"properties": {"pipeline": {"const": name}}}, "then": spec})
    return found


@pytest.fixture(scope="session")
def schema() -> SpecSchema:
    return SpecSchema(schemas())
