"""Labels in a spec: classes of pixels from vector files, from rasters, or from an expression over the bands of the image."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.spec.fields.area import Area
from swath.spec.fields.expression import Expression, ExpressionError
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import ShortForm, SpecModel, mistake

IGNORE_INDEX = 255
"""Value of pixels without a label in arrays of labels (uint8). No class has it; losses and metrics ignore it."""
IGNORE_CLASS = "ignore"
"""Stands for a class in `classes`, `background` and `otherwise`: these pixels have no label."""


class LabelClass(SpecModel):
    """One class. In YAML: its name, or a mapping."""

    short_schemas = ({"type": "string", "description": "Name of the class"},)

    name: str = Field(pattern=r"\S")
    color: str | None = Field(default=None, pattern=r"^#?[0-9A-Fa-f]{6}$")
    """RGB as six hexadecimal digits; a colour of a colour-blind safe palette when not given."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class VectorLabels(SpecModel):
    """Polygons, lines or points of a vector file that GDAL reads."""

    source: Literal["vector"] = "vector"
    path: InputPath
    """GeoPackage, GeoJSON, GeoParquet, Shapefile or other."""
    layer: str | None = None
    """Which layer, where the file has several."""
    where: str | None = None
    """Which features, as an SQL condition such as "area > 10"; all when not given."""
    crs: str | None = None
    """CRS of the file, if the file has none or a wrong one."""
    field: str | None = None
    """The attribute that holds the class of a feature. Give this or `label`."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Values of `field`: value -> name of a class, or `ignore`; "null" is for features without one. Other values must be names of
    classes."""
    label: str | None = None
    """The class of every feature. Give this or `field`."""
    background: str = IGNORE_CLASS
    """The class of pixels outside of all features; `ignore` if only some places are labelled."""
    all_touched: bool = False
    """Whether all pixels that a feature touches get its class, or only those whose centre is inside."""

    @model_validator(mode="after")
    def _one_way(self) -> VectorLabels:
        if (self.field is None) == (self.label is None):
            raise ValueError(
                "give either field (the attribute that holds the class) or label (the class of all features)"
            )
        return self


class RasterLabels(SpecModel):
    """A raster of class numbers, on any grid. It is resampled to the grid of the image by nearest neighbour."""

    source: Literal["raster"] = "raster"
    path: InputPath
    band: int = Field(default=1, ge=1)
    """Band of the file, from 1."""
    classes: dict[Annotated[str, Field(pattern=r"^-?\d+$")], str] = Field(default_factory=dict)
    """Class numbers: number -> name of a class, or `ignore`. Other numbers are ignored. When not given, the names of the
    values in the file decide (the metadata of swath's maps, GDAL's category names); without such, number n is the n-th class, from 0.
    Nodata is always ignored."""
    nodata: float | None = None
    """Nodata value, if the file declares none."""


class ExpressionLabels(SpecModel):
    """Weak labels: a condition over the bands, such as (green - nir) / (green + nir) > 0.1."""

    source: Literal["expression"] = "expression"
    expression: str
    """The condition: bands by name, numbers, + - * / **, comparisons, & | ~, abs, min, max, sqrt, log, exp, where(condition, a, b)."""
    label: str
    """The class of pixels where the condition is true."""
    otherwise: str
    """The class of pixels where it is false, or `ignore`. Where it is undefined (0 / 0) there is no label."""
    units: Literal["dn", "reflectance"] = "dn"
    """Whether bands are digital numbers as in the files, or reflectance (number * scale + offset)."""
    imagery: Imagery | None = None
    """Imagery from which the bands are read, if not the image itself."""

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
        """The expression, parsed."""
        return Expression.parse(self.expression)


Labels = Annotated[VectorLabels | RasterLabels | ExpressionLabels, Field(discriminator="source")]


class LabelledImagery(SpecModel):
    """Imagery with its labels."""

    imagery: Imagery
    labels: Labels
    area: Area | None = None
    """Area in which the labels are used; all of the imagery when not given."""


def _one_or_more(value: Any, info: Any) -> Any:
    return [value] if isinstance(value, dict) else value


LabelledData = Annotated[tuple[LabelledImagery, ...], Field(min_length=1), ShortForm(_one_or_more, one=True)]
"""One or more sets of imagery with labels. In YAML: a mapping, or a list of them."""
