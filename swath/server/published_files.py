"""Published files of runs that are on the server's own machine, as with `pipe serve`: which may be read, and what is in the map."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from swath.protocol.messages import RunFile, RunInfo
from swath.server.projects import Projects
from swath.server.refusals import NotFound

TIFF = "image/tiff; application=geotiff"
MOST_JSON = 2_000_000
"""Bytes of a document that is read beside a map."""
MOST_CLASSES = 256


@dataclass(frozen=True)
class LegendClass:
    """One class of a map."""

    value: int
    name: str
    color: str
    """Such as `#2b7bba`."""
    share: float | None = None
    """Of the valid pixels, 0 to 1."""


@dataclass(frozen=True)
class MapBands:
    """What a map's STAC item says of its values."""

    classes: tuple[LegendClass, ...] = ()
    nodata: float | None = None
    span: tuple[float, float] | None = None
    """Least and greatest value of the first band, where it has no classes."""


class PublishedFiles:
    """Files of runs in the folders of their projects. here: whether those folders are on this machine."""

    def __init__(self, projects: Projects, *, here: bool) -> None:
        self._projects = projects
        self.here = here

    def path(self, run: RunInfo, number: int) -> Path:
        """A published file of a run, by its place in the run's list. Raises NotFound with the reason when it cannot be read here.

        What the run's machine reported is not believed: the file has to be in the project's folder, and not in a hidden one.
        """
        if not 0 <= number < len(run.files):
            raise NotFound("the run has no such file")
        file = run.files[number]
        name = PurePosixPath(file.place).name
        root = self.root(run.project)
        if root is None or "://" in file.place:
            raise NotFound(f"{name} is not on the server's machine: it is at {file.place}")
        try:
            path = Path(file.place).resolve(strict=True)
            inner = path.relative_to(root)
            usable = path.is_file() and not any(part.startswith(".") for part in inner.parts)
            size = path.stat().st_size
        except (OSError, ValueError):
            usable = False
        if not usable:
            raise NotFound(f"{name} is no file in the project's folder (any more)")
        if file.bytes is not None and size != file.bytes:
            raise NotFound(f"{name} was replaced by a later run: it has {size:,} bytes now, and had {file.bytes:,}")
        return path

    def readable(self, run: RunInfo) -> frozenset[int]:
        """The numbers of the files that can be read here."""
        found = set()
        for number in range(len(run.files)) if self.here else ():
            try:
                self.path(run, number)
            except NotFound:
                continue
            found.add(number)
        return frozenset(found)

    def bands(self, run: RunInfo, number: int) -> MapBands:
        """What the STAC item and the report beside a map say of it; nothing where there is none that can be read."""
        name = PurePosixPath(run.files[number].place).name
        item = self._document(run, number, "item.json")
        try:
            found = _bands(item, name)
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
            return MapBands()
        try:
            shares = {
                int(each["value"]): float(each["fraction"])
                for each in self._document(run, number, "report.json")["shares"]
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            return found
        classes = tuple(dataclasses.replace(each, share=shares.get(each.value)) for each in found.classes)
        return dataclasses.replace(found, classes=classes)

    def _document(self, run: RunInfo, number: int, name: str) -> Any:
        """A JSON document beside a file of a run; None where there is none that can be read."""
        wanted = PurePosixPath(run.files[number].place).with_name(name)
        for other, file in enumerate(run.files):
            if PurePosixPath(file.place) == wanted:
                try:
                    with self.path(run, other).open("rb") as stream:
                        return json.loads(stream.read(MOST_JSON))
                except (NotFound, OSError, ValueError, RecursionError):
                    return None
        return None

    def root(self, project: str) -> Path | None:
        """The folder of a project; None where it is not on this machine."""
        for each in self._projects.all() if self.here else ():
            folder = each["source"].get("folder")
            if each["name"] == project and isinstance(folder, str):
                return Path(folder).resolve()
        return None


def numbered(run: RunInfo, name: str | None = None, media: str = "") -> list[tuple[int, RunFile]]:
    """Files of a run with their numbers: of a name, or of a media type."""
    return [
        (number, file)
        for number, file in enumerate(run.files)
        if (name is not None and PurePosixPath(file.place).name == name) or (media and file.media == media)
    ]


def _bands(item: dict[str, Any], name: str) -> MapBands:
    asset = next(each for each in item["assets"].values() if PurePosixPath(str(each["href"])).name == name)
    band = (asset.get("bands") or [{}])[0]
    nodata = band.get("nodata", asset.get("nodata"))
    nodata = float(nodata) if isinstance(nodata, (int, float, str)) else None
    classes = asset.get("classification:classes") or band.get("classification:classes") or []
    if classes:
        return MapBands(tuple(_map_class(each) for each in classes[:MOST_CLASSES]), nodata)
    statistics = band.get("statistics", {})
    span = (float(statistics["minimum"]), float(statistics["maximum"])) if statistics else None
    return MapBands((), nodata, span)


def _map_class(each: dict[str, Any]) -> LegendClass:
    color = str(each.get("color_hint", ""))
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", color):
        color = f"{(int(each['value']) * 0x9E3779 + 0x4A7C59) & 0xFFFFFF:06x}"
    return LegendClass(int(each["value"]), str(each.get("name", each["value"]))[:100], f"#{color.lower()}")
