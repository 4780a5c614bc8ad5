"""Loads for the tests of collections, as the pipeline makes them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from swath.collection.inventory import read_inventory
from swath.collection.load_piece import Pieces, load_piece
from swath.collection.load_plan import LoadPlan, plan_load
from swath.collection.write import write_images
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery, StacImagery
from swath.storage.publication import Published

RGB, RGBN = ("red", "green", "blue"), ("red", "green", "blue", "nir")


SCENE = "S2A_29RKH_20200219_0_L2A"


def plan(folder: Path, imagery: FilesImagery | StacImagery, **options: Any) -> LoadPlan:
    settings: dict[str, Any] = {
        "area": None, "grid": None, "composite": None, "physical": False, "margin": 128, "blocksize": 128, "sheet": 65536,
    }  # fmt: skip
    return plan_load(imagery, read_inventory(str(folder)), **settings | options)


def load(folder: Path, imagery: FilesImagery | StacImagery, *, region: int = 256, **options: Any) -> Published:
    """As the pipeline does it, in this process."""
    loading = plan(folder, imagery, **options)
    pieces = Pieces.of(loading.new, region, 128)
    return write_images([load_piece(piece) for piece in pieces], loading, pieces, str(folder), "kept")


def kept(folder: Path, *bands: str, **options: Any) -> StacImagery:
    return StacImagery(catalog=str(folder / "collection.json"), bands=bands, **options)


def files(*paths: Path, names: tuple[str, ...] | None = None, **options: Any) -> FilesImagery:
    return FilesImagery(paths=tuple(map(str, paths)), names=names, **options)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def area_of(west: float, south: float, east: float, north: float) -> Area:
    return TypeAdapter(Area).validate_python([west, south, east, north])
