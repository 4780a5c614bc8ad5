"""Labels in a spec: what is known of the ground, from polygons, from a raster, or from a rule over the image's own bands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.spec.fields.area import Area
from swath.spec.fields.expression import Expression, ExpressionError
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import ShortForm, SpecModel, mistake

IGNORE_INDEX = 255
"""Number of pixels without a label in every array of labels; no class has it."""
PALETTE = ("4477AA", "EE6677", "228833", "CCBB44", "66CCEE", "AA3377", "BBBBBB", "EE8866", "44BB99", "FFAABB")
"""Colours of classes that have none, in order: Paul Tol's bright and light schemes, which colour-blind readers can tell apart.
https://personal.sron.nl/~pault/"""
IGNORE_CLASS = "ignore"
"""What a label is mapped to so that its pixels count nowhere."""


class LabelClass(SpecModel):
    """One class. In YAML: its name, or a mapping."""

    short_schemas = ({"type": "string", "description": "Name of the class"},)

    name: str = Field(pattern=r"\S")
    color: str | None = Field(default=None, pattern=r"^#?[0-9A-Fa-f]{6}$")
    """RGB as six hexadecimal digits; one of a palette for colour-blind readers when not given."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class VectorLabels(SpecModel):
    """Polygons, lines or points of a file that GDAL reads."""

    source: Literal["vector"] = "vector"
    path: InputPath
    """GeoPackage, GeoJSON, GeoParquet, Shapefile or other."""
    layer: str | None = None
    """Which layer, where the file has several."""
    where: str | None = None
    """Which features, as an SQL condition such as "area > 10"; all when not given."""
    crs: str | None = None
    """Where the file does not say its own, or says a wrong one."""
    field: str | None = None
    """The attribute that tells a feature's class. Give this or `label`."""
    classes: dict[str, str] = Field(default_factory=dict)
    """What the values of `field` mean: value -> name of a class, or `ignore`. A value that is not here is the name of a class
    itself, else a mistake."""
    label: str | None = None
    """The class of every feature. Give this or `field`."""
    background: str = IGNORE_CLASS
    """The class of pixels outside of all features; `ignore` when only some places are labelled."""
    all_touched: bool = False
    """Whether a pixel belongs to a feature that touches it; otherwise its centre must be inside."""

    @model_validator(mode="after")
    def _one_way(self) -> VectorLabels:
        if (self.field is None) == (self.label is None):
            raise ValueError(
                "give either field (an attribute that tells the class) or label (the class of all features)"
            )
        return self


class RasterLabels(SpecModel):
    """A raster of class numbers, on any grid. It is brought onto the image's pixels by its nearest pixel."""

    source: Literal["raster"] = "raster"
    path: InputPath
    band: int = Field(default=1, ge=1)
    """1-based."""
    classes: dict[Annotated[str, Field(pattern=r"^-?\d+$")], str] = Field(default_factory=dict)
    """What the numbers mean: number -> name of a class, or `ignore`. Numbers that are not here are ignored. When not given, number n is
    the n-th class, from 0 on. Nodata is always ignored."""
    nodata: float | None = None
    """Where the file does not declare its own."""


class ExpressionLabels(SpecModel):
    """Weak labels: a rule over the bands, such as (green - nir) / (green + nir) > 0.1."""

    source: Literal["expression"] = "expression"
    expression: str
    """Bands by name, numbers, + - * / **, comparisons, & | ~, abs, min, max, sqrt, log, exp, where(condition, a, b)."""
    label: str
    """The class where it holds."""
    otherwise: str
    """The class where it does not, or `ignore`. Where it is no number (0 / 0) there is no label."""
    units: Literal["dn", "reflectance"] = "dn"
    """Whether the bands are the files' numbers or physical values."""
    imagery: Imagery | None = None
    """Where the bands are read from when it is not the image itself."""

    @model_validator(mode="after")
    def _sound(self) -> ExpressionLabels:
        try:
            rule = Expression.parse(self.expression)
        except ExpressionError as error:
            raise mistake("{why}", at=("expression",), why=str(error)) from error
        if not rule.condition:
            why = "is a number, and a label needs a condition, such as (green - nir) / (green + nir) > 0.1"
            raise mistake("{text!r} " + why, at=("expression",), text=self.expression)
        return self

    def parsed(self) -> Expression:
        """The rule."""
        return Expression.parse(self.expression)


Labels = Annotated[VectorLabels | RasterLabels | ExpressionLabels, Field(discriminator="source")]


class LabelledImagery(SpecModel):
    """Imagery with its labels."""

    imagery: Imagery
    labels: Labels
    area: Area | None = None
    """Where the labels are to be believed; everywhere on the imagery when not given."""


def _one_or_more(value: Any, info: Any) -> Any:
    return [value] if isinstance(value, dict) else value


LabelledData = Annotated[tuple[LabelledImagery, ...], Field(min_length=1), ShortForm(_one_or_more, one=True)]
"""One or more sets of imagery with labels. In YAML: a mapping, or a list of them."""
