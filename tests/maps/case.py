"""A small map for the tests of regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.geo import Blocks, Regions, Window
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.maps.cog.encoding import Encoding
from swath.maps.layout import MapLayout
from swath.models.contract import ModelInfo
from swath.models.infer import infer
from swath.models.info import inspect
from swath.models.load import load_model
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.model import ModelRef
from tests.imagery.rasters import write
from tests.models.tiny_models import write_integer_unet

BANDS = ("red", "green", "blue")


@dataclass(frozen=True)
class Case:
    """A small image, a model, and the map of the whole image."""

    scenes: Scenes
    model: ModelInfo
    pixels: NDArray[np.uint8]
    whole: NDArray[np.uint8]

    def layout(self, edge: int, blocksize: int = 16) -> MapLayout:
        return MapLayout(Encoding("uint8", 255, classes=True, blocksize=blocksize), (2,), edge)

    def regions(self, size: int) -> Regions:
        return Regions((Blocks(self.scenes.image, self.window, size, self.model.halo, self.model.stride),), (0,))

    @property
    def window(self) -> Window:
        return Window(0, 0, *self.pixels.shape[1:])


def make_case(folder: Path) -> Case:
    """An image with a gap of nodata, and its map as one inference of the whole image gives it."""
    random = np.random.default_rng(5)
    coarse = np.kron(random.integers(1, 200, (3, 30, 30)), np.ones((1, 8, 8)))[:, :211, :197]
    pixels = (coarse + random.integers(0, 50, (3, 211, 197))).astype(np.uint8)
    pixels[:, 40:60, 30:90] = 0
    picture = write(folder / "picture.tif", pixels, names=BANDS, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    scenes = find(FilesImagery(paths=(str(picture),)), BANDS)
    model = inspect(ModelRef(path=str(write_integer_unet(folder))))
    everything = Window(0, 0, 211, 197)
    whole, _ = infer(load_model(model), model, pixels, (pixels != 0).any(axis=0), everything, everything)
    return Case(scenes, model, pixels, whole)
