"""`search:` in a spec: random trials of a matrix instead of its whole cross product."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swath.spec.spec_model import SpecModel


class Search(SpecModel):
    """Random trials of a matrix. A field of the matrix is then a list, or a range: `{between: [0.0001, 0.01], scale: log}`."""

    random: int = Field(ge=1, le=256)
    """How many variants are tried."""
    seed: int = 0
    """The same seed tries the same variants."""
    best: str | None = None
    """Name of the number, as `pipe runs table` heads its column, by which the best variant is told."""
    goal: Literal["max", "min"] = "max"
    """Whether the largest or the smallest is the best."""
