"""Sampling in a spec of a training: size, number and balance of the chips (small square windows) that are read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from swath.spec.spec_model import SpecModel


class Sampling(SpecModel):
    """Which chips (small square windows of the imagery) a training reads."""

    chip: int = Field(default=128, ge=8)
    """Edge in pixels."""
    batch: int = Field(default=8, ge=1)
    """Chips per step (batch size)."""
    steps: int | None = Field(default=None, ge=1)
    """Batches per epoch; when not given, as many as together have the area of all labelled training pixels."""
    balance: Literal["none", "classes"] = "none"
    """`classes`: equally many chips are centred on each class; `none`: chips are centred on any labelled pixel."""
    min_valid: float = Field(default=0.5, ge=0, le=1)
    """Least share of a chip's pixels that have a label, where such chips can be found."""
