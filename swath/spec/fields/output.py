"""The output of a map in a spec: its folder, and the files beside the map (polygons, vector tiles, probabilities, preview)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.spec.fields.paths import OutputPath
from swath.spec.spec_model import ShortForm, SpecModel, mistake

Activation = Literal["softmax", "sigmoid", "none"]


class Holes(SpecModel):
    """Which holes in polygons are filled."""

    min_area: float = Field(gt=0)
    """Holes of less than so many square metres are filled."""


class Vectors(SpecModel):
    """Polygons of the map's classes. In YAML: true, false, or a mapping.

    Polygons run along the pixels' sides. With `simplify`, neighbours keep the border that they share.
    """

    background: tuple[str, ...] = ()
    """Names of classes that get no polygons."""
    min_area: float = Field(default=0.0, ge=0)
    """Objects of less than so many square metres on the ground are left out; the map keeps their pixels."""
    holes: Literal["keep", "fill"] | Holes = "keep"
    """Whether holes stay, are filled, or are filled below an area, as in {min_area: 500}. What lies in a filled hole keeps its
    own polygon."""
    simplify: Annotated[float, Field(gt=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?px$")] | None = None
    """How much detail to give up: the square root of the area of the corners that may be cut, in metres, or in pixels as in 1.5px."""


class Tiles(SpecModel):
    """Vector tiles of the map's polygons, in one PMTiles file. In YAML: true, false, or a mapping."""

    min_zoom: int | None = Field(default=None, ge=0, le=22)
    """The first zoom level; the one at which the map is not longer than a tile when not given."""
    max_zoom: int | None = Field(default=None, ge=0, le=22)
    """The last zoom level; the one that still shows single pixels when not given."""

    @model_validator(mode="after")
    def _in_order(self) -> Tiles:
        if self.min_zoom is not None and self.max_zoom is not None and self.min_zoom > self.max_zoom:
            raise ValueError("min_zoom is larger than max_zoom")
        return self


class Probabilities(SpecModel):
    """A map of how probable each class is. In YAML: true, false, or a mapping."""

    classes: tuple[str, ...] = ()
    """Names of the classes to keep, one band each; all when empty."""
    dtype: Literal["uint8", "float16", "float32"] = "uint8"
    """uint8 has steps of 0.004 (250 is 1, 255 nodata); float16 reads as 32-bit floats in programs that know no shorter ones."""
    activation: Activation | None = None
    """What the model's numbers still need to be probabilities; when not given, softmax for several channels, none for the one
    channel of a contract with a threshold."""


_SWITCH = {"type": "boolean"}


def _switched(value: Any, info: Any) -> Any:
    """`true` is the mapping with nothing in it, `false` is nothing."""
    if isinstance(value, bool):
        return {} if value else None
    return value


class Destination(SpecModel):
    """Where something is published. In YAML: a path, or a mapping. It is locked while a run writes there, and each variant of a
    matrix has a folder of its own below it."""

    short_schemas = ({"type": "string", "description": "Folder, local or an fsspec URL"},)

    to: OutputPath
    """Folder, local or an fsspec URL. Absolute once loaded."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"to": value} if isinstance(value, str) else value


class Output(Destination):
    """Where the map goes and what is made beside it. In YAML: a path, or a mapping."""

    vectors: Annotated[Vectors | None, ShortForm(_switched, _SWITCH)] = Vectors()
    """Also write polygons of each class as GeoParquet; a mapping says how."""
    pmtiles: Annotated[Tiles | None, ShortForm(_switched, _SWITCH)] = None
    """Also write these polygons as vector tiles for web maps. Needs `vectors`."""
    probabilities: Annotated[Probabilities | None, ShortForm(_switched, _SWITCH)] = None
    """Also write how probable each class is."""
    preview: bool = True
    """Also write a PNG with a legend."""
    blocksize: Literal[64, 128, 256, 512, 1024] = 512
    """Edge of the tiles in the map's file, in pixels."""
    sheet: int = Field(default=65536, ge=64)
    """Longest edge of one file in pixels: a larger map becomes several, with an index that opens them as one."""

    @property
    def background(self) -> tuple[str, ...]:
        """Names of classes that get no polygons."""
        return self.vectors.background if self.vectors else ()

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        if isinstance(value, dict) and "background" in value:
            raise mistake("is part of vectors now: vectors: {background: [...]}", at=("background",))
        return {"to": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _tiles_of_something(self) -> Output:
        if self.pmtiles and not self.vectors:
            raise ValueError("pmtiles are made from vectors: leave out vectors: false")
        return self
