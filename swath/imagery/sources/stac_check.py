"""Compares STAC items with their files. Where grid or dtype differ, those of the file are used, with a note; scales are noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Comparison:
    """The outcome of one comparison."""

    band: Band | None = None
    """As its file describes it; None when that could not be read."""
    differs: bool = False
    """Whether grid or dtype are others than the item says."""


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
    _incomplete: set[tuple[str | None, str]] = field(default_factory=set)
    _other_scales: dict[tuple[str | None, str], str] = field(default_factory=dict)

    def wants(self, item: pystac.Item, key: str, href: str) -> bool:
        """Whether the file of this asset is to be compared."""
        first = (item.collection_id, key) not in self._seen
        cheap = not is_remote(href) and self._opened < self.limits.local_files
        of_all = item.collection_id in self._differing or (item.collection_id, key) in self._incomplete
        return self.every_file or first or cheap or of_all

    def is_categorical(self, item: pystac.Item, key: str) -> bool:
        """Whether a file that was compared, of this asset's key and collection, has a colour table or names of flags or classes."""
        return (item.collection_id, key) in self._categorical

    def compare(self, item: pystac.Item, key: str, geobox: GeoBox, dtype: str, read: Callable[[], Band]) -> Comparison:
        """The band as its file describes it, and whether its grid or dtype differ from those of the item; no band where the file
        cannot be read now: the calls that read its pixels report that. Raises what `read` raises, without ReadFailed."""
        self._seen.add((item.collection_id, key))
        self._opened += 1
        try:
            band = read()
        except ReadFailed as error:
            if not is_remote(
                item.assets[key].get_absolute_href() or item.assets[key].href
            ):  # else its identity has a note
                self._unread.append(f"item {item.id}: asset {key} could not be compared with its file: {error.message}")
            return Comparison()
        if band.categorical:
            self._categorical.add((item.collection_id, key))
        if band.geobox.crs is None and tuple(band.geobox.shape) == tuple(geobox.shape):
            band = replace(band, geobox=geobox)  # files without georeferencing of their own
        if dtype == band.dtype and same_grid(geobox, band.geobox):
            return Comparison(band)
        if band.geobox.crs is None:
            return Comparison(band)  # the window that is read would not fit: reported by the call that opens the file
        self._differing.setdefault(item.collection_id, []).append(
            f"item {item.id}: asset {key} is described as {_text(geobox, dtype)}, its file is {_text(band.geobox, band.dtype)}: "
            "the file's grid and dtype are used"
        )
        return Comparison(band, differs=True)

    def complete(self, item: pystac.Item, key: str, facts: dict[str, Any], band: Band) -> dict[str, Any]:
        """`facts` of an item with the scale and offset that its file alone states (see `completed`); all files of the asset's key are
        opened then. Scales and nodata that differ are noted: the item's scale is used, and the nodata values of both count."""
        whole = completed(facts, band) | {"nodata": facts.get("nodata")}
        facts = {"nodata": None} | facts
        if whole != facts:
            self._incomplete.add((item.collection_id, key))
        stated = _scale_text(whole.get("scale"), whole.get("offset"))
        in_file = _scale_text(band.scale, band.offset)
        differ = []
        if band.scale is not None and stated != in_file and not band.categorical:
            differ.append(
                f"values of {stated}, in its file {in_file}: the former is used; imagery.scale and offset say otherwise"
            )
        nodata = whole.get("nodata")
        if (
            nodata is not None
            and band.nodata is not None
            and float(nodata) != band.nodata
            and float(nodata) == float(nodata)
        ):
            differ.append(f"nodata {float(nodata):g}, in its file {band.nodata:g}: both are no data")
        if differ:
            self._other_scales.setdefault(
                (item.collection_id, key), f"item {item.id}: asset {key} has {'; and '.join(differ)}"
            )
        return whole

    def notes(self) -> list[str]:
        """What differed, one note for each collection with the first item as the example, and what could not be compared."""
        notes = []
        for texts in self._differing.values():
            more = f" (so with {len(texts) - 1} more files of {len(texts)} that differ)" if len(texts) > 1 else ""
            notes.append(texts[0] + more)
        return [*notes, *self._other_scales.values(), *self._unread[:3]]


def completed(facts: dict[str, Any], band: Band) -> dict[str, Any]:
    """`facts` of an item with the nodata, scale and offset that its file alone states. An offset goes with its scale: the file's is
    taken only where the item has no scale, or the same."""
    found = dict(facts)
    if found.get("nodata") is None:
        found["nodata"] = band.nodata
    if band.scale is not None and found.get("scale") in (None, band.scale) and found.get("offset") is None:
        found |= {"scale": band.scale, "offset": band.offset}
    return found


def _scale_text(scale: float | None, offset: float | None) -> str:
    shift = float(offset or 0)
    return f"number * {1 if scale is None else float(scale):g} {'-' if shift < 0 else '+'} {abs(shift):g}"


def _text(geobox: GeoBox, dtype: str) -> str:
    rows, cols = geobox.shape
    numbers = ", ".join(f"{number:.12g}" for number in list(geobox.affine)[:6])
    code = geobox.crs.to_epsg() if geobox.crs is not None else None
    crs = f"EPSG:{code}" if code is not None else "a CRS without an EPSG code"
    return f"{rows} x {cols} pixels of {dtype} with the transform [{numbers}] in {crs}"
