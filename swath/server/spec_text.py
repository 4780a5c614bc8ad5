"""What the server reads of a spec's text: which pipeline it names. The rest is checked where the pipelines are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swath.errors import Mistake, SpecError
from swath.spec.yaml.document import parse

FILE = "spec"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")


@dataclass(frozen=True)
class SpecText:
    """The two fields that lists of runs show."""

    pipeline: str
    name: str


def read_spec(text: str) -> SpecText:
    """Raises SpecError with line and column for text that is no YAML, or names no pipeline."""
    document = parse(text, FILE)
    if document.mistakes:
        raise SpecError(list(document.mistakes))
    root = document.data if isinstance(document.data, dict) else {}
    pipeline, name = root.get("pipeline"), root.get("name", "")
    if not isinstance(pipeline, str) or not _NAME.fullmatch(pipeline):
        raise SpecError([Mistake(FILE, 1, 1, "pipeline", "a spec names its pipeline")])
    return SpecText(pipeline, name if isinstance(name, str) and _NAME.fullmatch(name) else "")
