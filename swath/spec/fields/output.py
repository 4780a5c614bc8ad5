"""The output of a map in a spec: its folder, and the files beside the map (polygons, vector tiles, probabilities, preview)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.spec.fields.paths import OutputPath
from swath.spec.spec_model import ShortForm, SpecModel, mistake

Activation = Literal["softmax", "sigmoid", "none"]
VectorFormat = Literal["geopackage", "flatgeobuf"]


class Holes(SpecModel):
    """Which holes of polygons are filled."""

    min_area: float = Field(gt=0)
    """Holes with a smaller area, in square metres, are filled."""


class Vectors(SpecModel):
    """Polygons of the map's classes. In YAML: true, false, or a mapping.

    Polygons follow the edges of pixels. With `simplify`, neighbours still share their border.
    """

    background: tuple[str, ...] = ()
    """Names of classes without polygons."""
    min_area: float = Field(default=0.0, ge=0)
    """Objects with a smaller area, in square metres on the ground, get no polygon; the map still has their pixels."""
    holes: Literal["keep", "fill"] | Holes = "keep"
    """Whether holes are kept, filled, or filled if they are small, as in {min_area: 500}. Objects in a filled hole keep their own
    polygon."""
    simplify: Annotated[float, Field(gt=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?px$")] | None = None
    """Tolerance of the simplification: the square root of the area of corners that may be cut, in metres, or in pixels as in 1.5px."""
    also: tuple[VectorFormat, ...] = ()
    """Further files of the same polygons beside the GeoParquet file: geopackage (map.gpkg), flatgeobuf (map.fgb)."""


class Tiles(SpecModel):
    """Vector tiles of the map's polygons, in one PMTiles file. In YAML: true, false, or a mapping."""

    min_zoom: int | None = Field(default=None, ge=0, le=22)
    """First zoom level; when not given, the one at which the map fits in one tile."""
    max_zoom: int | None = Field(default=None, ge=0, le=22)
    """Last zoom level; when not given, the one at which single pixels can be seen."""

    @model_validator(mode="after")
    def _in_order(self) -> Tiles:
        if self.min_zoom is not None and self.max_zoom is not None and self.min_zoom > self.max_zoom:
            raise ValueError("min_zoom is larger than max_zoom")
        return self


class Probabilities(SpecModel):
    """A raster of the probability of each class. In YAML: true, false, or a mapping."""

    classes: tuple[str, ...] = ()
    """Names of the classes, one band each; all when empty."""
    dtype: Literal["uint8", "float16", "float32"] = "uint8"
    """uint8 has steps of 0.004 (250 is 1, 255 is nodata); programs without 16-bit floats read float16 as 32-bit floats."""
    activation: Activation | None = None
    """Function that makes probabilities of the model's output; when not given, softmax for several channels, and none for the one
    channel of a contract with a threshold, or where the network ends in softmax or sigmoid itself (its outputs for test images are
    within 0 to 1)."""


_SWITCH = {"type": "boolean"}


def _switched(value: Any, info: Any) -> Any:
    """The full form: an empty mapping for `true`, None for `false`."""
    if isinstance(value, bool):
        return {} if value else None
    return value


class Destination(SpecModel):
    """The folder of an output. In YAML: a path, or a mapping. It is locked while a run writes to it, and each variant of a matrix
    has its own folder in it."""

    short_schemas = ({"type": "string", "description": "Folder, local or an fsspec URL"},)

    to: OutputPath
    """Folder, local or an fsspec URL."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"to": value} if isinstance(value, str) else value


class Output(Destination):
    """The folder of the map, and which files are written beside it. In YAML: a path, or a mapping."""

    vectors: Annotated[Vectors | None, ShortForm(_switched, _SWITCH)] = Vectors()
    """Also write polygons of each class as GeoParquet."""
    pmtiles: Annotated[Tiles | None, ShortForm(_switched, _SWITCH)] = None
    """Also write the polygons as vector tiles for web maps. Needs `vectors`."""
    probabilities: Annotated[Probabilities | None, ShortForm(_switched, _SWITCH)] = None
    """Also write the probability of each class."""
    preview: bool = True
    """Also write a picture (PNG) with a legend."""
    style: bool = False
    """Also write a style (map.qml) that QGIS takes by itself when it opens the map: the classes with names and colours, or a ramp."""
    blocksize: Literal[64, 128, 256, 512, 1024] = 512
    """Edge of the tiles of the Cloud-Optimized GeoTIFF, in pixels."""
    sheet: int = Field(default=65536, ge=64)
    """Longest edge of one file in pixels. A larger map is several files, with a VRT index that opens them as one."""

    @property
    def background(self) -> tuple[str, ...]:
        """Names of classes without polygons."""
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
