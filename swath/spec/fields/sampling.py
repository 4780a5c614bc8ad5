"""Sampling in a spec of a training: size, number and balance of the chips (small square windows) that are read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swath.spec.spec_model import SpecModel


class Sampling(SpecModel):
    """Which chips (small square windows) a training sees. They are read from the imagery when they are wanted."""

    chip: int = Field(default=128, ge=8)
    """Edge in pixels."""
    batch: int = Field(default=8, ge=1)
    """Chips of one step."""
    steps: int | None = Field(default=None, ge=1)
    """Batches of an epoch; when not given, as many as have the area of all labelled training pixels."""
    balance: Literal["none", "classes"] = "none"
    """`classes`: as many chips are centred on each class; `none`: on any labelled pixel."""
    min_valid: float = Field(default=0.5, ge=0, le=1)
    """Share of a chip's pixels that must have a label, where such a chip can be found."""
