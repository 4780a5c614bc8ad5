"""Compares grid and dtype in STAC items with those of their files. Where they differ, those of the file are used, with a note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from swath.errors import ReadFailed
from swath.imagery.geometry.same_grid import same_grid
from swath.imagery.scene import Band
from swath.storage.address import is_remote

if TYPE_CHECKING:
    import pystac


@dataclass(frozen=True)
class FileCheckLimits:
    """How many files are opened to compare them with their items."""

    local_files: int = 2000
    """Files on this machine, which take some milliseconds each. Beyond them, and of remote files, one for each asset's key of a
    collection is compared; all of a collection in which one differs."""


@dataclass
class FileCheck:
    """The comparisons of one search."""

    limits: FileCheckLimits = FileCheckLimits()
    every_file: bool = False
    """Compare every file, remote ones too."""
    _seen: set[tuple[str | None, str]] = field(default_factory=set)
    _differing: dict[str | None, list[str]] = field(default_factory=dict)
    _opened: int = 0
    _categorical: set[tuple[str | None, str]] = field(default_factory=set)
    _unread: list[str] = field(default_factory=list)

    def wants(self, item: pystac.Item, key: str, href: str) -> bool:
        """Whether the file of this asset is to be compared."""
        first = (item.collection_id, key) not in self._seen
        cheap = not is_remote(href) and self._opened < self.limits.local_files
        return self.every_file or first or cheap or item.collection_id in self._differing

    def is_categorical(self, item: pystac.Item, key: str) -> bool:
        """Whether a file that was compared, of this asset's key and collection, has a colour table or names of flags or classes."""
        return (item.collection_id, key) in self._categorical

    def compare(self, item: pystac.Item, key: str, geobox: GeoBox, dtype: str, read: Callable[[], Band]) -> Band | None:
        """The band as its file describes it where that differs from grid and dtype of the item; None where they agree, or where the
        file cannot be read now: the calls that read its pixels report that. Raises what `read` raises, without ReadFailed."""
        self._seen.add((item.collection_id, key))
        self._opened += 1
        try:
            band = read()
        except ReadFailed as error:
            if not is_remote(
                item.assets[key].get_absolute_href() or item.assets[key].href
            ):  # else its identity has a note
                self._unread.append(f"item {item.id}: asset {key} could not be compared with its file: {error.message}")
            return None
        if band.categorical:
            self._categorical.add((item.collection_id, key))
        if band.geobox.crs is None and tuple(band.geobox.shape) == tuple(geobox.shape):
            band = replace(band, geobox=geobox)  # files without georeferencing of their own
        if dtype == band.dtype and same_grid(geobox, band.geobox):
            return None
        if band.geobox.crs is None:
            return None  # the window that is read would not fit: reported by the call that opens the file
        self._differing.setdefault(item.collection_id, []).append(
            f"item {item.id}: asset {key} is described as {_text(geobox, dtype)}, its file is {_text(band.geobox, band.dtype)}: "
            "the file's grid and dtype are used"
        )
        return band

    def notes(self) -> list[str]:
        """What differed, one note for each collection with the first item as the example, and what could not be compared."""
        notes = []
        for texts in self._differing.values():
            more = f" (so with {len(texts) - 1} more files of {len(texts)} that differ)" if len(texts) > 1 else ""
            notes.append(texts[0] + more)
        return notes + self._unread[:3]


def _text(geobox: GeoBox, dtype: str) -> str:
    rows, cols = geobox.shape
    numbers = ", ".join(f"{number:.12g}" for number in list(geobox.affine)[:6])
    code = geobox.crs.to_epsg() if geobox.crs is not None else None
    crs = f"EPSG:{code}" if code is not None else "a CRS without an EPSG code"
    return f"{rows} x {cols} pixels of {dtype} with the transform [{numbers}] in {crs}"
