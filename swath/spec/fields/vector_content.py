"""Which vector files are opened: formats that hold geometries themselves, and none that points at other files or asks servers.

GDAL tells a format by its content, whatever the file's name, and a pointer makes it open other files and connect to hosts as soon as it
is opened. So the content is looked at before GDAL sees it, and GDAL's answer afterwards.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swath.spec.locations import special_file


class VectorFileError(ValueError):
    """A vector file that cannot be used as it is; the message does not name the file. `field` is the field of the spec to mend."""

    def __init__(self, message: str, field: str = "path") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class VectorFileLimits:
    """How much of a file is looked at, and how much of an archive is unpacked."""

    head_bytes: int = 1 << 16
    """GDAL tells a format by fewer."""
    members: int = 10_000
    ratio: int = 200
    """All members of an archive together are at most so many times as large as the file ..."""
    spare_bytes: int = 256 << 20
    """... or as large as this."""


DRIVERS = frozenset(
    {
        "AIVector", "AVCBin", "AVCE00", "CAD", "CSV", "DGN", "DXF", "EDIGEO", "ESRI Shapefile", "ESRIJSON", "FileGDB", "FlatGeobuf",
        "GML", "GPKG", "GPX", "GTFS", "GeoJSON", "GeoJSONSeq", "GeoRSS", "Idrisi", "Interlis 1", "Interlis 2", "JML", "JSONFG", "KML",
        "LIBKML", "LVBAG", "MapInfo File", "MapML", "MBTiles", "MiraMonVector", "NAS", "ODS", "OGR_GMT", "OSM", "OpenFileGDB",
        "PMTiles", "S57", "SQLite", "SXF", "Selafin", "TopoJSON", "VDV", "VFK", "WAsP", "XLS", "XLSX",
    }
)  # fmt: skip
"""GDAL's names of formats that are read; all others are refused."""
_POINTERS = re.compile(rb"<ogr[a-z]|<gdal_|(wfs|csw)_capabilities|gdal_streamed_alg", re.IGNORECASE)
"""What GDAL knows files by that name other files, servers or GDAL's own commands; `<ogr:` begins the GML that GDAL writes."""
_ADDRESS = re.compile(r"(https?|s3|gs|file)://.*|/vsi(curl|s3|gs|az|zip|gzip|tar)/.*", re.IGNORECASE | re.DOTALL)
"""What is opened beside files of this machine; GDAL takes WFS:https://... and the like for the address of a service."""
_POINTS = (
    "only points at other files, servers or commands, which could be anybody's; give a file that holds the geometries"
)


def check_content(path: str, limits: VectorFileLimits = VectorFileLimits()) -> None:
    """Raise VectorFileError for an address that is none of a file, for a local file that is a pointer or has a pipe beside it, and for
    an archive that has a pointer or unpacks to far more than its size."""
    if ("://" in path or path.startswith("/vsi")) and not _ADDRESS.fullmatch(path):
        raise VectorFileError("is not the address of a file: give a path, or https://, s3:// or gs://")
    file = Path(path)
    if not file.is_file():
        return
    for each in file.parent.iterdir():
        if each.name.startswith(f"{file.stem}.") and (what := special_file(str(each))):
            raise VectorFileError(
                f"has {what} beside it, {each.name[:100]!r}, which GDAL could read for ever; remove it"
            )
    for head in _heads(file, limits):
        if _POINTERS.search(head):
            raise VectorFileError(_POINTS)


def check_driver(name: str) -> None:
    """Raise VectorFileError for a format, by GDAL's name, that is not read."""
    if name not in DRIVERS:
        raise VectorFileError(
            f"{_POINTS}, or is of a format that is not read ({name}); convert it: ogr2ogr NEW.gpkg OLD"
        )


def _heads(file: Path, limits: VectorFileLimits) -> Iterator[bytes]:
    """The first bytes of a file, or of each member of an archive."""
    with file.open("rb") as opened:
        yield opened.read(limits.head_bytes)
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unpacked = sum(each.file_size for each in members)
        if unpacked > max(limits.ratio * file.stat().st_size, limits.spare_bytes) or len(members) > limits.members:
            raise VectorFileError(
                f"is an archive of {len(members)} files that unpack to {unpacked:,} bytes, far more than its size; "
                "unpack it, and name a file"
            )
        for each in members:
            if each.is_dir():
                continue
            try:
                with archive.open(each) as opened:
                    yield opened.read(limits.head_bytes)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError):
                raise VectorFileError(
                    f"is an archive that is damaged or encrypted: {each.filename[:100]!r} cannot be read"
                ) from None
