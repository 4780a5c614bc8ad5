"""A reader of remote files for tests: with a request policy and open datasets of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from numpy.typing import NDArray

from swath.geo import Window
from swath.imagery.reading.dataset_cache import DatasetCache
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.remote.request_policy import RequestPolicy
from swath.imagery.scene import Scenes
from swath.imagery.sources.files import find_scenes
from swath.spec.fields.imagery import FilesImagery

ALL = Window(0, 0, 256, 256)
QUICK = RequestPolicy(first_wait_s=0.02)
"""As in production, but for short waits between requests."""


class Client:
    """Finds and reads files, as a task does."""

    def __init__(self, policy: RequestPolicy = QUICK) -> None:
        self.policy = policy
        self.datasets = DatasetCache(policy=policy)

    def scenes(self, *hrefs: str) -> Scenes:
        return find_scenes(FilesImagery(paths=hrefs), None, None, None, self.policy)

    def read(self, scenes: Scenes, window: Window = ALL) -> tuple[NDArray[Any], NDArray[Any]]:
        return read_mosaic(scenes, window, datasets=self.datasets)

    def check(self, href: str, folder: Path, name: str = "a.tif") -> None:
        """The file at `href` has the pixels of the file in `folder`."""
        pixels, valid = self.read(self.scenes(href))
        with rasterio.open(folder / name) as file:
            assert (pixels == file.read()).all()
        assert valid.all()
