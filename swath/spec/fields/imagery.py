"""Imagery in a spec: raster files or STAC items, which bands are read, and which pixels are masked out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from swath.spec.fields.paths import BAND, InputPath, InputPattern
from swath.spec.locations import is_remote
from swath.spec.spec_model import SpecModel

Resampling = Literal["nearest", "bilinear", "cubic", "average", "mode"]


class Mask(SpecModel):
    """Pixels that are masked out, from a quality band of the scene."""

    band: str
    """Asset or band with the flags, such as `scl`, `qa_pixel` or `Fmask`."""
    kind: Literal["scl", "qa_pixel", "fmask"]
    """Its encoding: Sentinel-2 scene classes, Landsat Collection 2 bits, or the Fmask bits of HLS."""
    reject: tuple[str, ...] = ("cloud", "cloud_shadow", "cirrus")
    """Names of the flags that are masked out; see swath.imagery.reading.quality_mask for the names of each kind."""


class _Imagery(SpecModel):
    bands: tuple[str | int, ...] | None = None
    """Bands to read, in the order in which the model takes them: names, or indices from 1 for `files`. Those of the model's contract
    when not given."""
    repeat_bands: bool = False
    """One band may be read for several bands of the model, as a grey image for red, green and blue. Otherwise that is an error, and so
    is a band whose name is that of another of the model's bands."""
    mosaic: Literal["first", "last", "median", "least_cloud"] = "first"
    """Which scene's value a pixel gets where several cover it. Scenes are in the order of the list (files) or of time (stac); for
    least_cloud in that of their cloud cover: of the metadata, else the share of their pixels that `mask` rejects."""
    resampling: Resampling = "nearest"
    """Resampling of bands that are not on the grid of the map; flags and classes use nearest or mode in any case."""
    categorical: tuple[str | int, ...] = ()
    """Bands that hold flags or classes, besides those that are known by name (QA_PIXEL, SCL, Fmask ...), STAC metadata or a colour
    table: resampled with nearest (or mode), never scaled; a median takes them from one scene."""
    mask: Mask | None = None
    """Pixels to mask out, from a quality band."""
    scale: float | None = None
    """Physical value = number * scale + offset. Overrides the scale of the imagery's metadata."""
    offset: float | None = None
    """See `scale`."""


class FilesImagery(_Imagery):
    """Imagery from raster files."""

    source: Literal["files"] = "files"
    paths: tuple[InputPattern, ...] = Field(min_length=1)
    """Files or glob patterns, local or fsspec URLs. Each file is one scene. With `{band}` in all of them each file is one band, and a
    scene is all files whose names are alike but for that, such as scenes/*_{band}_10m.jp2. A path that ends in .SAFE stands for the
    files of bands in that folder of Sentinel-2."""
    names: tuple[str, ...] | None = None
    """Names of the bands in the order of the files, if the files have none."""
    nodata: float | None = None
    """Nodata value, if the files declare none."""


class StacImagery(_Imagery):
    """Imagery from STAC items: a local catalogue, an ItemCollection file, an item file, or an API."""

    source: Literal["stac"] = "stac"
    catalog: InputPath | None = None
    """Path or URL of a catalogue, collection, ItemCollection or item. Give this or `api`."""
    api: str | None = None
    """Root URL of a STAC API. Give this or `catalog`."""
    collections: tuple[str, ...] = ()
    """Collections to search; all when empty (catalogues only, not APIs)."""
    datetime: str | None = None
    """A time or an interval such as 2024-06/2024-08 or 2024-06-01/.. of RFC 3339 dates, months or years."""
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    """Largest eo:cloud_cover in percent. Items without one are used."""
    ids: tuple[str, ...] = ()
    """Ids of the items to use; all when empty."""
    exclude: tuple[str, ...] = ()
    """Ids of items to leave out, such as broken ones."""
    compare: Literal["some", "all"] = "some"
    """Remote files that are compared with their items before a run: one for each asset key of a collection, or all."""
    limit: int | None = Field(default=None, ge=1)
    """Largest number of items."""

    @model_validator(mode="after")
    def _one_place(self) -> StacImagery:
        if (self.catalog is None) == (self.api is None):
            raise ValueError("give either catalog or api")
        return self


Imagery = Annotated[FilesImagery | StacImagery, Field(discriminator="source")]


def is_known_by_files(imagery: FilesImagery | StacImagery) -> bool:
    """Whether the scenes follow from the spec and the content identities of files on this machine, so that finding them again gives
    the same unless one of these differs. Not those of a catalogue or a server, and not those of products in folders, whose metadata lie
    in files that the spec does not name."""
    return isinstance(imagery, FilesImagery) and not any(is_remote(each) or BAND in each for each in imagery.paths)
