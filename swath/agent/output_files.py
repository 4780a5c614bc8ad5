"""What a supervisor tells the server of the published files: media type, size, SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from swath.protocol.messages import RunFile

MEDIA = {
    ".csv": "text/csv",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".pmtiles": "application/vnd.pmtiles",
    ".png": "image/png",
    ".tif": "image/tiff; application=geotiff",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".zip": "application/zip",
}
"""By suffix: those of IANA, and of the STAC and OGC specifications."""


def output_file(place: str) -> RunFile:
    """What is known of an output: of a file on this machine everything, of an address or a folder its media type at most."""
    media = MEDIA.get(PurePosixPath(place).suffix.lower(), "")
    path = Path(place)
    if "://" not in place and path.is_absolute():
        try:
            if path.is_file():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    return RunFile(place=place, media=media, bytes=file.tell(), sha256=digest)
        except OSError:  # replaced by a later run, or not readable: its name is known at least
            pass
    return RunFile(place=place, media=media if "://" in place or path.is_absolute() else "")
