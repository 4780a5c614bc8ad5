"""The nouns that specs share: area, imagery, model, grid, output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.errors import AreaError
from swath.spec.fields import area
from swath.spec.fields.paths import Context, InputPath, InputPattern, OutputPath, context_of
from swath.spec.loading.base_model import ShortForm, SpecModel, mistake

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Resampling = Literal["nearest", "bilinear", "cubic", "average", "mode"]


class AreaBox(SpecModel):
    """A box in any coordinate reference system."""

    bbox: tuple[float, float, float, float]
    """West, south, east, north; west > east crosses the antimeridian (degrees only)."""
    crs: str = "EPSG:4326"
    """What the numbers are in; degrees of longitude and latitude when not given."""


class AreaFile(SpecModel):
    """Polygons of a vector file: anything that GDAL reads."""

    path: str
    """GeoPackage, GeoJSON, Shapefile or other; a path or URL."""
    layer: str | None = None
    """Which layer, where the file has several."""
    where: str | None = None
    """Which features, as an SQL condition such as "name = 'north'"; all when not given."""
    crs: str | None = None
    """Where the file does not say its own, or says a wrong one."""


class Area(SpecModel):
    """An area of interest. In YAML: a path to a vector file, [west, south, east, north] in degrees, WKT, GeoJSON, or
    {bbox: [...], crs: ...} and {path: ..., layer: ..., where: ...}.

    The validated value holds the geometry itself, so a run does not depend on the file any more.
    """

    forms = (AreaBox, AreaFile)
    short_schemas = (
        {"type": "string", "description": "Path to a vector file, or a polygon as WKT in degrees"},
        {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "[west, south, east, north] in degrees; west > east crosses the antimeridian",
        },
        {
            "type": "object",
            "properties": {"type": {"enum": list(area.GEOJSON_TYPES)}},
            "required": ["type"],
            "description": "GeoJSON: a polygon geometry, a Feature or a FeatureCollection",
        },
    )

    wkt: str
    """A valid, non-empty polygon or multipolygon as WKT, in `crs`. Longitudes of areas that cross the antimeridian are
    split at 180 degrees, so that each part is within [-180, 180]."""
    crs: str = "EPSG:4326"
    """Coordinate reference system of `wkt`, as an authority code or WKT. Axes are always x, y (longitude first)."""
    source: str = ""
    """Where it came from, for messages."""
    notes: tuple[str, ...] = ()
    """What was repaired, for the log and the report."""

    def geometry(self) -> BaseGeometry:
        """The area as a shapely geometry, in `crs`."""
        from shapely import from_wkt

        return from_wkt(self.wkt)

    @classmethod
    def spread(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            return {"wkt" if area.is_wkt(value) else "path": value}
        return {"bbox": value} if isinstance(value, list) else value

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        short = list(value) if isinstance(value, tuple) else value
        form = cls.spread(short, info)
        if not isinstance(form, dict):
            raise mistake("expected an area: a path, [west, south, east, north], WKT, GeoJSON or a mapping")
        try:
            shape = cls._read(form, context_of(info))
        except AreaError as error:
            message = str(error).replace("\n  ", "; ")
            if not isinstance(error, area.PartError):
                raise mistake(message) from error
            at = (error.part,) if error.part in form else ()
            raise mistake(error.template, at=at, path=error.path) from error
        if shape is None:
            return form
        notes = form.get("notes", ()) if "wkt" in form else ()
        if isinstance(notes, (list, tuple)):
            notes = (*notes, *(note for note in shape.notes if note not in notes))
        said = form if "wkt" in form else {}
        return {"source": shape.source, **said, "wkt": shape.wkt, "crs": shape.crs, "notes": notes}

    @staticmethod
    def _read(form: dict[str, Any], context: Context | None) -> area.Shape | None:
        """The shape that a mapping describes; None when it is not even one of the forms."""
        if form.get("type") in area.GEOJSON_TYPES:
            return area.from_geojson(form)
        if "bbox" in form:
            box = AreaBox.model_validate(form, context=context)
            return area.from_bbox(box.bbox, box.crs)
        if "path" in form:
            file = AreaFile.model_validate(form, context=context)
            root = context.root if context else Path()
            return area.from_file(file.path, root, layer=file.layer, where=file.where, crs=file.crs)
        if isinstance(form.get("wkt"), str) and isinstance(form.get("crs", ""), str):
            return area.from_wkt(form["wkt"], form.get("crs"))
        return None


class Mask(SpecModel):
    """Which pixels are not to be used, from a quality band of the scene."""

    band: str
    """Asset or band that holds the flags, such as `scl`, `qa_pixel` or `Fmask`."""
    kind: Literal["scl", "qa_pixel", "fmask"]
    """How to read it: Sentinel-2 scene classes, Landsat Collection 2 bits, or the Fmask bits of HLS."""
    reject: tuple[str, ...] = ("cloud", "cloud_shadow", "cirrus")
    """Names of what is masked out; see swath.imagery.reading.quality_mask for the names of each kind."""


class _Imagery(SpecModel):
    bands: tuple[str | int, ...] | None = None
    """Bands to read, in the order in which the model takes them: names, or 1-based indices for `files`. The model's
    contract decides when not given."""
    mosaic: Literal["first", "last", "median", "least_cloud"] = "first"
    """Which scene wins where several cover a pixel. Scenes are ordered as listed (files) or by time (stac); for least_cloud by
    their cloud cover: the metadata's, else the share of their pixels that `mask` rejects."""
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
    paths: tuple[InputPattern, ...] = Field(min_length=1)
    """Files or glob patterns, local or fsspec URLs. Each file is one scene. Absolute once loaded."""
    names: tuple[str, ...] | None = None
    """Names of the files' bands in order, where the files do not name them."""
    nodata: float | None = None
    """Nodata value, where the files do not declare one."""


class StacImagery(_Imagery):
    """Imagery from STAC items: a local catalogue, an ItemCollection file, an item file, or an API."""

    source: Literal["stac"] = "stac"
    catalog: InputPath | None = None
    """Path or URL of a catalogue, collection, ItemCollection or item. Give this or `api`."""
    api: str | None = None
    """Root URL of a STAC API. Give this or `catalog`."""
    collections: tuple[str, ...] = ()
    """Collections to search; all when empty (catalogues only)."""
    datetime: str | None = None
    """A time or an interval such as 2024-06/2024-08 or 2024-06-01/.. of RFC 3339 dates, months or years."""
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Largest eo:cloud_cover in percent; items that do not say theirs are kept."""
    ids: tuple[str, ...] = ()
    """Item ids to take; all when empty."""
    limit: int | None = Field(default=None, ge=1)
    """Most items to take."""

    @model_validator(mode="after")
    def _one_place(self) -> StacImagery:
        if (self.catalog is None) == (self.api is None):
            raise ValueError("give either catalog or api")
        return self


Imagery = Annotated[FilesImagery | StacImagery, Field(discriminator="source")]


class ModelRef(SpecModel):
    """A trained model. In YAML: a path, or a mapping."""

    short_schemas = ({"type": "string", "description": "Path of the weights"},)

    path: InputPath
    """Weights: .pt2 (torch.export), .pt or .torchscript (TorchScript), .onnx, or .safetensors with `factory`.
    Absolute once loaded."""
    contract: InputPath | None = None
    """The model's contract; the file of the same name ending in .json when not given."""
    factory: str | None = None
    """For .safetensors: `module:function` that returns the torch.nn.Module to load the weights into."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the network's arithmetic. The others change some pixels; they are faster where the hardware computes in them (GPUs, processors
    with AMX or AVX512-BF16) and several times slower elsewhere. float16 is for GPUs only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs: `auto` is the GPU if the machine on which the run is started has one. Results on the two differ in the
    last bits."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class GridSpec(SpecModel):
    """The output grid, when it is not to be the imagery's own."""

    crs: str | None = None
    """Authority code such as EPSG:32633; the imagery's own when not given."""
    resolution: float | None = Field(default=None, gt=0)
    """Pixel size in units of the CRS; the imagery's finest band when not given."""
    zones: bool = False
    """One sheet for each UTM zone of the imagery, on that zone's own pixels; each place is in the sheet of the nearest central
    meridian. Otherwise the map has one grid: that of the first scene, or of `crs`."""

    @model_validator(mode="after")
    def _one_way(self) -> GridSpec:
        if self.zones and self.crs is not None:
            raise ValueError("zones have their own coordinate reference systems: give either zones or crs")
        return self


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


Activation = Literal["softmax", "sigmoid", "none"]


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
