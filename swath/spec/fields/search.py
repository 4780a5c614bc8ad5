"""`search:` in a spec: a random sample of a matrix's variants instead of all of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swath.spec.spec_model import SpecModel


class Search(SpecModel):
    """A random sample of the variants of a matrix. A field of the matrix is then a list, or a range such as
    `{between: [0.0001, 0.01], scale: log}`."""

    random: int = Field(ge=1, le=256)
    """Number of variants."""
    seed: int = 0
    """Seed of the random numbers: the same seed gives the same variants."""
    best: str | None = None
    """The metric by which variants are compared: a column of `pipe runs table`."""
    goal: Literal["max", "min"] = "max"
    """Whether the largest or the smallest value is the best."""
