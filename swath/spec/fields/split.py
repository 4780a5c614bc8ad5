"""The split of a training's data into training, validation and test: by blocks, areas, scenes or columns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from swath.spec.fields.area import Area
from swath.spec.spec_model import SpecModel, mistake

Fraction = Annotated[float, Field(ge=0, lt=1)]


class BlockSplit(SpecModel):
    """Square blocks on the ground, assigned at random. The blocks are one grid of the whole Earth: a place is in the same split in
    every image."""

    by: Literal["blocks"] = "blocks"
    size_m: float = Field(default=2000, gt=0)
    """Edge of a block, in metres on the ground."""
    buffer_m: float = Field(default=100, ge=0)
    """Buffer in metres around validation and test that is not used for training; at most half a block."""
    validation: Fraction = 0.2
    """Share of the blocks for validation: not trained on, used to compare models."""
    test: Fraction = 0.0
    """Share of the blocks for the test: used only after training."""

    @model_validator(mode="after")
    def _room(self) -> BlockSplit:
        _shares(self.validation, self.test)
        if self.buffer_m > self.size_m / 2:
            why = "is more than half of size_m ({size:g}): hardly a place would be left to train on"
            raise mistake(why, at=("buffer_m",), size=self.size_m)
        return self


class AreaSplit(SpecModel):
    """Areas for validation and test; everything outside of them is for training."""

    by: Literal["area"] = "area"
    validation: Area
    """Area of validation, used to compare models."""
    test: Area | None = None
    """Area of the test, used only after training. Where it overlaps `validation`, it is test."""
    buffer_m: float = Field(default=0, ge=0)
    """Buffer in metres around both that is not used for training."""


class SceneSplit(SpecModel):
    """Whole scenes for validation and test, by id or by date; all others are for training."""

    by: Literal["scene"] = "scene"
    validation: Annotated[tuple[str, ...], Field(min_length=1)]
    """Scenes of validation, used to compare models: ids, patterns (S2A_29RKH_*) or time intervals (2014-01-01/2014-12-31)."""
    test: tuple[str, ...] = ()
    """Scenes of the test, used only after training. A scene that is in both is test."""
    overlap: Literal["refuse", "buffer", "allow"] = "refuse"
    """What to do about places that scenes of two splits cover: `refuse` ends the run, `buffer` leaves these places out, `allow` uses
    them: then the score is for other dates, not for other places."""
    buffer_m: float = Field(default=0, ge=0)
    """With `overlap: buffer`: metres around the other scenes that are not used for training."""

    @model_validator(mode="after")
    def _buffered(self) -> SceneSplit:
        if self.buffer_m and self.overlap != "buffer":
            raise mistake("needs overlap: buffer", at=("buffer_m",))
        return self


class ColumnSplit(SpecModel):
    """The right part of each image. For images without georeference."""

    by: Literal["columns"] = "columns"
    validation: Fraction = 0.25
    """Share of the columns for validation, used to compare models."""
    test: Fraction = 0.0
    """Share of the columns, at the right edge, for the test: used only after training."""
    buffer_px: int = Field(default=0, ge=0)
    """Columns beside both that are not used for training."""

    @model_validator(mode="after")
    def _room(self) -> ColumnSplit:
        _shares(self.validation, self.test)
        return self


SplitSpec = Annotated[BlockSplit | AreaSplit | SceneSplit | ColumnSplit, Field(discriminator="by")]
"""How the data of a training is split into training, validation and test."""


def _shares(validation: float, test: float) -> None:
    if validation + test >= 1:
        raise mistake("validation and test together leave nothing to train on", at=("validation",))
