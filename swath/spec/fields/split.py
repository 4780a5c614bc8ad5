"""What a training is told: which places are held back, and which chips it sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from swath.spec.fields.area import Area
from swath.spec.spec_model import SpecModel, mistake

Fraction = Annotated[float, Field(ge=0, lt=1)]


class BlockSplit(SpecModel):
    """Square blocks of ground, drawn by lot. They lie on one grid of the whole Earth: a place is in one split in every image."""

    by: Literal["blocks"] = "blocks"
    size_m: float = Field(default=2000, gt=0)
    """Edge of a block, in metres on the ground."""
    buffer_m: float = Field(default=100, ge=0)
    """Training stays so many metres away from validation and test; at most half a block."""
    validation: Fraction = 0.2
    """Share of the blocks that training never sees, on which models are compared."""
    test: Fraction = 0.0
    """Share of the blocks that nothing sees before the model is finished."""

    @model_validator(mode="after")
    def _room(self) -> BlockSplit:
        _shares(self.validation, self.test)
        if self.buffer_m > self.size_m / 2:
            why = "is more than half of size_m ({size:g}): hardly a place would be left to train on"
            raise mistake(why, at=("buffer_m",), size=self.size_m)
        return self


class AreaSplit(SpecModel):
    """Areas that are drawn by hand; all else is trained on."""

    by: Literal["area"] = "area"
    validation: Area
    """Where models are compared."""
    test: Area | None = None
    """Where nothing looks before the model is finished. It goes before `validation` where the two overlap."""
    buffer_m: float = Field(default=0, ge=0)
    """Training stays so many metres away from both."""


class SceneSplit(SpecModel):
    """Whole scenes, by id or by date; all others are trained on."""

    by: Literal["scene"] = "scene"
    validation: Annotated[tuple[str, ...], Field(min_length=1)]
    """Scenes on which models are compared: ids, patterns (S2A_29RKH_*) or intervals of time (2014-01-01/2014-12-31)."""
    test: tuple[str, ...] = ()
    """Scenes that nothing sees before the model is finished. They go before `validation` where a scene is in both."""
    overlap: Literal["refuse", "buffer", "allow"] = "refuse"
    """What is done about ground that scenes of two splits show: `refuse` ends the run, `buffer` leaves that ground out, `allow` lets it
    be: then the score tells of other dates, not of other places."""
    buffer_m: float = Field(default=0, ge=0)
    """With `buffer`: training stays so many metres away from the other scenes' ground."""

    @model_validator(mode="after")
    def _buffered(self) -> SceneSplit:
        if self.buffer_m and self.overlap != "buffer":
            raise mistake("needs overlap: buffer", at=("buffer_m",))
        return self


class ColumnSplit(SpecModel):
    """The right part of each image: for images that lie nowhere on Earth."""

    by: Literal["columns"] = "columns"
    validation: Fraction = 0.25
    """Share of the columns on which models are compared."""
    test: Fraction = 0.0
    """Share of the columns, at the right edge, that nothing sees before the model is finished."""
    buffer_px: int = Field(default=0, ge=0)
    """Training stays so many columns away from both."""

    @model_validator(mode="after")
    def _room(self) -> ColumnSplit:
        _shares(self.validation, self.test)
        return self


SplitSpec = Annotated[BlockSplit | AreaSplit | SceneSplit | ColumnSplit, Field(discriminator="by")]
"""Which places are held back from training."""


def _shares(validation: float, test: float) -> None:
    if validation + test >= 1:
        raise mistake("validation and test together leave nothing to train on", at=("validation",))
