"""Load: imagery of an area is copied once into a folder of COGs with a STAC collection, which other pipelines read.

inventory           the images of the folder, each file checked by its checksum     on the client
load_plan           the imagery, compared with the inventory: what is new           on the client
pieces              the new images in large windows                                 a lazy sequence
loaded              one call per piece: read onto the grid, mask, encode            streamed over the workers
collection          COGs and STAC items, the collection last                        on the client, atomically
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Imagery
from swath.spec.fields.output import Destination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swath.collection.inventory import Inventory
    from swath.collection.load_piece import LoadedPiece, Piece, Pieces
    from swath.collection.load_plan import LoadPlan
    from swath.storage.publication import Published

log = logging.getLogger(__name__)


class CollectionOutput(Destination):
    """Where imagery is kept. In YAML: a path, or a mapping."""

    blocksize: Literal[64, 128, 256, 512, 1024] = 512
    """Edge of the tiles in the files, in pixels."""
    sheet: int = Field(default=65536, ge=1024)
    """Longest edge of one file in pixels: a larger image becomes several."""


class Load(Spec):
    """Load imagery of an area once, as COGs with a STAC collection."""

    imagery: Imagery
    """What to load: raster files, or STAC items."""
    output: CollectionOutput
    """Folder of the collection."""
    area: Area | None = None
    """What to load; everything that the imagery covers when not given."""
    margin: int = Field(default=128, ge=0)
    """So many pixels around the area are loaded too: a model looks beyond the area's border."""
    grid: GridSpec | None = None
    """The grid of all images; that of the first scene when not given. With `zones: true` each scene keeps its own."""
    composite: Literal["first", "last", "median", "least_cloud"] | None = None
    """Make one image of all scenes by this rule, instead of one of each."""
    units: Literal["numbers", "physical"] = "numbers"
    """Whether the files hold the sources' numbers in the sources' dtype, with scale and offset beside them, or physical values as
    float32."""
    region: int | None = Field(default=None, ge=64, le=16384)
    """Edge of the pieces, each loaded by one call, in pixels; a multiple of output.blocksize. From the images' size when not given."""

    @model_validator(mode="after")
    def _whole_tiles(self) -> Load:
        if self.region is not None and self.region % self.output.blocksize:
            raise ValueError(f"region: {self.region} is not a multiple of output.blocksize, {self.output.blocksize}")
        return self


@pipeline
def load(spec: Load) -> Any:
    """Load imagery of an area once, as COGs with a STAC collection."""
    inventory = read_collection(spec.output)
    load_plan = find_new(
        spec.imagery, inventory=inventory, area=spec.area, grid=spec.grid, composite=spec.composite, units=spec.units,
        margin=spec.margin, output=spec.output,
    )  # fmt: skip
    pieces = cut_pieces(load_plan, region=spec.region, output=spec.output)
    loaded = load_window.map(pieces)
    return publish_collection(loaded, load_plan=load_plan, pieces=pieces, output=spec.output)


@task(cache=False, on_client=True)
def read_collection(output: CollectionOutput) -> Inventory:
    """The images of the folder, each file read and its checksum compared."""
    from swath.collection.inventory import read_inventory

    return read_inventory(output.to)


@task(cache=False, on_client=True)
def find_new(
    imagery: Imagery,
    *,
    inventory: Inventory,
    area: Area | None,
    grid: GridSpec | None,
    composite: str | None,
    units: str,
    margin: int,
    output: CollectionOutput,
) -> LoadPlan:
    """The imagery, compared with the inventory. Looks at the files or the catalogue in every run."""
    from swath.collection.load_plan import plan_load

    load_plan = plan_load(
        imagery, inventory, area=area, grid=grid, composite=composite, physical=units == "physical", margin=margin,
        blocksize=output.blocksize, sheet=output.sheet,
    )  # fmt: skip
    for note in load_plan.notes:
        log.info(note)
    log.info(
        "images found: %d; to load: %d, already there: %d",
        load_plan.found,
        len(load_plan.new),
        load_plan.found - len(load_plan.new),
    )
    return load_plan


@task(on_client=True)
def cut_pieces(load_plan: LoadPlan, *, region: int | None, output: CollectionOutput) -> Pieces:
    """The new images in windows, each loaded by one call."""
    from swath.collection.load_piece import Pieces

    return Pieces.of(load_plan.new, region, output.blocksize)


@task(retries=2)
def load_window(piece: Piece) -> LoadedPiece:
    """One window of one image: read onto the grid, masked, encoded."""
    from swath.collection.load_piece import load_piece

    return load_piece(piece)


def still_there(published: Published) -> bool:
    """Whether a publication can be reused: its files are still as they were."""
    from swath.storage.publication import is_intact

    return is_intact(published)


@task(on_client=True, valid=still_there)
def publish_collection(
    loaded: Sequence[LoadedPiece], *, load_plan: LoadPlan, pieces: Pieces, output: CollectionOutput
) -> Published:
    """Write the new images and the collection, and publish them together."""
    from swath.collection.write import write_images

    return write_images(loaded, load_plan, pieces, output.to, output.to.rstrip("/").rpartition("/")[2])


@load.planner
def plan(spec: Load) -> dict[str, Any]:
    """What a load would take, from the headers of the imagery and the images of the folder."""
    from swath.collection.inventory import read_inventory
    from swath.collection.load_piece import Pieces, estimate
    from swath.collection.load_plan import plan_load
    from swath.imagery.sources.scene_checks import check_files

    inventory = read_inventory(spec.output.to)
    load_plan = plan_load(
        spec.imagery, inventory, area=spec.area, grid=spec.grid, composite=spec.composite,
        physical=spec.units == "physical", margin=spec.margin, blocksize=spec.output.blocksize, sheet=spec.output.sheet,
    )  # fmt: skip
    check_files(image.scenes for image in load_plan.new)
    pieces = Pieces.of(load_plan.new, spec.region, spec.output.blocksize)
    return {**estimate(load_plan, pieces), "output": spec.output.to}
