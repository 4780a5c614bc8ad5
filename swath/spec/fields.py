"""The nouns that specs share: area, imagery, model, grid, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic import ValidationInfo

from swath.spec.base import Model

if TYPE_CHECKING:
    from shapely import Geometry

Resampling = Literal["nearest", "bilinear", "cubic", "average", "mode"]


class Area(Model):
    """An area of interest. In YAML: a path to a vector file, [west, south, east, north] in degrees, WKT, GeoJSON, or
    {bbox: [...], crs: ...} and {path: ..., layer: ..., where: ...}.

    The validated value holds the geometry itself, so a run does not depend on the file any more.
    """

    wkt: str
    """A valid, non-empty polygon or multipolygon as WKT, in `crs`. Longitudes of areas that cross the antimeridian are split at
    180 degrees, so that each part is within [-180, 180]."""
    crs: str = "EPSG:4326"
    """Coordinate reference system of `wkt`, as an authority code or WKT."""
    source: str = ""
    """Where it came from, for messages."""
    notes: tuple[str, ...] = ()
    """What was repaired, for the log and the report."""

    def geometry(self) -> Geometry:
        """The area as a shapely geometry, in `crs`."""
        from shapely import from_wkt

        return from_wkt(self.wkt)


class Mask(Model):
    """Which pixels are not to be used, from a quality band of the scene."""

    band: str
    """Asset or band that holds the flags, such as `scl` or `qa_pixel`."""
    kind: Literal["scl", "qa_pixel"]
    """How to read it: Sentinel-2 scene classes, or Landsat Collection 2 bits."""
    reject: tuple[str, ...] = ("cloud", "cloud_shadow", "cirrus")
    """Names of what is masked out; see swath.imagery.mask for the names of each kind."""


class _Imagery(Model):
    bands: tuple[str | int, ...] | None = None
    """Bands to read, in the order in which the model takes them: names, or 1-based indices for `files`. The model's contract
    decides when not given."""
    mosaic: Literal["first", "last", "median"] = "first"
    """Which scene wins where several cover a pixel. Scenes are ordered as listed (files) or by time (stac)."""
    resampling: Resampling = "nearest"
    """How a band that is not on the map's grid is brought onto it."""
    mask: Mask | None = None
    """Pixels to leave out, from a quality band."""
    scale: float | None = None
    """Physical value = number * scale + offset, where the imagery itself does not say so; overrides what it says."""
    offset: float | None = None
    """See scale."""


class FilesImagery(_Imagery):
    """Imagery from raster files."""

    source: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files or glob patterns, local or fsspec URLs. Each file is one scene."""
    names: tuple[str, ...] | None = None
    """Names of the files' bands in order, where the files do not name them."""
    nodata: float | None = None
    """Nodata value, where the files do not declare one."""


class StacImagery(_Imagery):
    """Imagery from STAC items: a local catalogue, an ItemCollection file, an item file, or an API."""

    source: Literal["stac"] = "stac"
    catalog: str | None = None
    """Path or URL of a catalogue, collection, ItemCollection or item. Give this or `api`."""
    api: str | None = None
    """Root URL of a STAC API. Give this or `catalog`."""
    collections: tuple[str, ...] = ()
    """Collections to search; all when empty (catalogues only)."""
    datetime: str | None = None
    """A time or an interval such as 2024-06/2024-08 or 2024-06-01/.. ; RFC 3339 dates, months and years are accepted."""
    cloud_cover: float | None = Field(None, ge=0, le=100)
    """Largest eo:cloud_cover in percent; items that do not say theirs are kept."""
    ids: tuple[str, ...] = ()
    """Item ids to take; all when empty."""
    limit: int | None = Field(None, ge=1)
    """Most items to take."""

    @model_validator(mode="after")
    def _one_place(self) -> StacImagery:
        if (self.catalog is None) == (self.api is None):
            raise ValueError("give either catalog or api")
        return self


Imagery = Annotated[FilesImagery | StacImagery, Field(discriminator="source")]


class ModelRef(Model):
    """A trained model. In YAML: a path, or a mapping."""

    path: str
    """Weights: .pt2 (torch.export), .pt or .torchscript (TorchScript), .onnx, or .safetensors with `factory`. Absolute once loaded."""
    contract: str | None = None
    """The model's contract; the file of the same name ending in .json when not given."""
    factory: str | None = None
    """For .safetensors: `module:function` that returns the torch.nn.Module to load the weights into."""


class GridSpec(Model):
    """The output grid, when it is not to be the imagery's own."""

    crs: str | None = None
    """Authority code such as EPSG:32633; the imagery's own when not given."""
    resolution: float | None = Field(None, gt=0)
    """Pixel size in units of the CRS; the imagery's finest band when not given."""


class Output(Model):
    """Where the map goes and what is made beside it. In YAML: a path, or a mapping."""

    to: str
    """Folder, local or an fsspec URL. Absolute once loaded."""
    vectors: bool = True
    """Also write polygons of each class as GeoParquet."""
    preview: bool = True
    """Also write a PNG with a legend."""
    background: tuple[str, ...] = ()
    """Names of classes that get no polygons."""
