"""Opening raster files: which formats are allowed, GDAL's settings in one place, and errors that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from swath.errors import ImageryError, ReadFailed, SwathError
from swath.imagery.remote.file_format import DRIVERS, HEAD_BYTES, describe_format, driver_of
from swath.imagery.remote.gdal_file import (
    FIRST_BYTES,
    Opener,
    RemoteFile,
    close_at_exit,
    raise_fetch_errors,
    share_openers,
)
from swath.imagery.remote.range_request import fetch_range
from swath.storage.address import is_remote, local_path, redacted, scheme
from swath.storage.filesystem import open_filesystem

RAW_BLOCK_CACHE_BYTES = 32 * 2**20
"""Bytes of encoded pixels that GDAL asks for at once and holds."""

_FETCHED = ("http", "https", "s3", "gs")
"""Addresses whose bytes swath.imagery.remote.range_request gets; others go through fsspec."""
_UNKNOWN = "not recognized as being in a supported file format"
_DAMAGED = "The file is damaged or was cut: fetch it again, and check it with gdalinfo -checksum."


def gdal_read_env(href: str) -> rasterio.Env:
    """GDAL's settings for reading `href`. They hold inside the `with` only; nothing is set for the whole process."""
    settings: dict[str, Any] = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_NUM_THREADS": 1}
    if is_remote(href):
        settings |= {
            # Look for no side-car files: each guess would be a request. Local files keep theirs (.msk, .tfw, .aux.xml).
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            # Ranges of a window are fetched together, several at once, up to so many bytes.
            "GDAL_MAX_RAW_BLOCK_CACHE_SIZE": RAW_BLOCK_CACHE_BYTES,
        }
    return rasterio.Env(**settings)


@contextmanager
def gdal_errors(href: str, doing: str) -> Iterator[None]:
    """Run the body with GDAL's settings; what GDAL raises becomes an error that names the file."""
    try:
        with gdal_read_env(href), raise_fetch_errors():
            yield
    except SwathError as error:
        # What fetch raises knows the address, and not what it was for.
        if is_remote(href) and error.message.startswith(redacted(href)) and "(when " not in error.message:
            error.message += f" (when {doing})"
            error.args = (error.message,)
        raise
    except (RasterioError, OSError, ValueError) as error:
        raise _explained(href, doing, error) from error


def open_raster(href: str) -> DatasetReader:
    """Open a local or remote raster of an allowed format. Call it inside `gdal_errors`; the caller closes it."""
    kind = scheme(href)
    path, options = href, {}
    drivers: tuple[str, ...] = DRIVERS
    if kind == "file":
        path = str(local_path(href))
        _check_sidecars(path)
        with Path(path).open("rb") as opened:
            drivers = (_driver(href, opened.read(HEAD_BYTES)),)
    elif kind in _FETCHED:
        file = RemoteFile(href)
        drivers = (_driver(href, file.head[:HEAD_BYTES]),)
        path, options = file.name, {"opener": Opener(file)}
    else:
        options = {"opener": open_filesystem(href)}
    if options:
        share_openers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # find_scenes says what this means for the map
        for driver in drivers:
            try:
                return close_at_exit(rasterio.open(path, driver=driver, sharing=False, **options))
            except RasterioIOError as error:
                if _UNKNOWN not in str(error):
                    raise
    raise ReadFailed(f"{redacted(href)}: its header cannot be read", remedy=_DAMAGED)


def _driver(href: str, head: bytes) -> str:
    """The driver that fits what the file starts with. Raises ImageryError when no format does that is allowed."""
    driver = driver_of(head)
    if driver is None:
        raise ImageryError(
            f"{redacted(href)}: {describe_format(head)}, not a raster that can be read",
            remedy=f"Formats that are read: {', '.join(DRIVERS)}. Convert others with gdal_translate -of COG.",
        )
    return driver


def stamp(href: str) -> str:
    """Size and modification time of a local file, etag or time of a remote one; changes when the file does. Raises
    ImageryError when there is no such file, CredentialsError when it may not be read."""
    kind = scheme(href)
    if kind == "file":
        try:
            status = local_path(href).stat()
        except OSError as error:
            raise ImageryError(f"{redacted(href)}: {error.strerror}", remedy="Check the path.") from error
        return f"{status.st_size}-{status.st_mtime_ns}"
    if kind in _FETCHED:
        found = fetch_range(href, 0, FIRST_BYTES)
        return f"{found.size}-{found.etag}"
    try:
        facts = open_filesystem(href).info(href)
    except FileNotFoundError as error:
        raise ImageryError(f"{redacted(href)}: no such file", remedy="Check the path.") from error
    except OSError as error:
        raise _explained(href, "looking it up", error) from error
    known = [facts.get(k) for k in ("ETag", "etag", "mtime", "LastModified", "updated", "created")]
    return f"{facts.get('size')}-{next((str(k) for k in known if k), '')}"


def _check_sidecars(path: str) -> None:
    # GDAL opens these with any driver, so a VRT could come in through the back door.
    for side in (Path(path + ".msk"), Path(path + ".ovr")):
        if side.is_file():
            with side.open("rb") as file:
                if file.read(2) not in (b"II", b"MM"):
                    raise ImageryError(
                        f"{side}: not a TIFF", remedy="Remove the file, or write it again with gdaladdo or rio."
                    )


def _explained(href: str, doing: str, error: Exception) -> SwathError:
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        parts.append(str(link))
        link = link.__cause__ or link.__context__
    told = "; ".join(dict.fromkeys(p for p in parts if p)).replace(href, redacted(href))
    if is_remote(href) and (query := urlsplit(href).query):
        told = told.replace(query, "...")
    if not is_remote(href) and not local_path(href).is_file():
        return ImageryError(f"{redacted(href)}: no such file (when {doing})", remedy="Check the path.")
    return ReadFailed(
        f"{redacted(href)}: pixels could not be read (when {doing}): {told}",
        remedy=_DAMAGED,
    )
