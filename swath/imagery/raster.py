"""Opening raster files: which formats are allowed, GDAL's settings in one place, and errors that name the file."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from swath.errors import CredentialsError, ImageryError, MissingExtra, ReadFailed, SwathError
from swath.imagery.nature import DRIVERS, HEAD, driver_of, nature_of

HTTP_TIMEOUT_S = 120
"""Longest time for one HTTP request."""
HTTP_STALL_S = 20
"""A transfer below 1 kB/s for this long is given up."""
HTTP_CONNECT_S = 10

_REMOTE = {"http": "/vsicurl/http://", "https": "/vsicurl/https://", "s3": "/vsis3/", "gs": "/vsigs/"}
_PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}
_UNKNOWN = "not recognized as being in a supported file format"
_DAMAGED = "The file is damaged or was cut: fetch it again, and check it with gdalinfo -checksum."
_STATUS = re.compile(r"(?:response code|HTTP error code)\s*:?\s*(\d{3})", re.IGNORECASE)


def scheme(href: str) -> str:
    """The URL scheme of `href`; `file` for a plain path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", href)
    return found[1].lower() if found else "file"


def is_remote(href: str) -> bool:
    return scheme(href) != "file"


def shown(href: str) -> str:
    """`href` as it may stand in a message: without the query and the user, where secrets are."""
    if not is_remote(href):
        return href
    parts = urlsplit(href)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def local_path(href: str) -> Path:
    """The path of a local file that is named by a path or a file:// URL."""
    return Path(unquote(urlsplit(href).path)) if href.startswith("file://") else Path(href)


def gdal_environment(href: str) -> rasterio.Env:
    """GDAL's settings for reading `href`. They hold inside the `with` only; nothing is set for the whole process."""
    settings: dict[str, Any] = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_NUM_THREADS": 1}
    if is_remote(href):
        settings |= {
            # Look for no side-car files: each guess would be a request. Local files keep theirs (.msk, .tfw, .aux.xml).
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            # A cut transfer would otherwise stay in GDAL's cache and every retry would read it again.
            "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",
            "GDAL_HTTP_CONNECTTIMEOUT": HTTP_CONNECT_S,
            "GDAL_HTTP_TIMEOUT": HTTP_TIMEOUT_S,
            "GDAL_HTTP_LOW_SPEED_TIME": HTTP_STALL_S,
            "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
            # The engine retries calls; more here would multiply the time that a server which hangs can take.
            "GDAL_HTTP_MAX_RETRY": 1,
            "GDAL_HTTP_RETRY_DELAY": 0.5,
            "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": True,
        }
    return rasterio.Env(**settings)


@contextmanager
def gdal_errors(href: str, doing: str) -> Iterator[None]:
    """Run the body with GDAL's settings; what GDAL raises becomes an error that names the file."""
    try:
        with gdal_environment(href):
            yield
    except (RasterioError, OSError, ValueError, http.client.HTTPException) as error:
        raise _explained(href, doing, error) from error


def open_raster(href: str) -> DatasetReader:
    """Open a local or remote raster of an allowed format. Call it inside `gdal_errors`; the caller closes it."""
    kind = scheme(href)
    options: dict[str, Any] = {}
    if kind == "file":
        path = str(local_path(href))
        _check_sidecars(path)
    elif kind in _REMOTE:
        path = _REMOTE[kind] + href.split("://", 1)[1]
    else:
        path, options = href, {"opener": file_system(href)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # find_scenes says what this means for the map
        for driver in _drivers(href):
            try:
                return rasterio.open(path, driver=driver, sharing=False, **options)
            except RasterioIOError as error:
                if _UNKNOWN not in str(error):
                    raise
    raise ReadFailed(f"{shown(href)}: its header cannot be read", remedy=_DAMAGED)


def _drivers(href: str) -> tuple[str, ...]:
    """The driver that fits what the file starts with; every one that is allowed where that is not cheap to know."""
    if scheme(href) not in ("file", "http", "https"):
        return DRIVERS
    head = _head(href)
    driver = driver_of(head)
    if driver is None:
        raise ImageryError(
            f"{shown(href)}: {nature_of(head)}, not a raster that can be read",
            remedy=f"Formats that are read: {', '.join(DRIVERS)}. Convert others with gdal_translate -of COG.",
        )
    return (driver,)


def _head(href: str) -> bytes:
    """The first bytes of a file."""
    if not is_remote(href):
        with local_path(href).open("rb") as file:
            return file.read(HEAD)
    request = urllib.request.Request(href, headers={"Range": f"bytes=0-{HEAD - 1}"})
    try:
        with urllib.request.urlopen(request, timeout=HTTP_STALL_S) as answer:
            head: bytes = answer.read(HEAD)
            return head
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # an empty file has no such range
            return b""
        raise _http_error(href, "opening it", error.code) from error


def file_system(href: str) -> Any:
    """The fsspec file system of a URL. Raises MissingExtra when its package is not installed."""
    import fsspec

    kind = scheme(href)
    try:
        return fsspec.filesystem(kind)
    except ImportError as error:
        if kind in _PACKAGES:
            raise MissingExtra(*_PACKAGES[kind], f"Reading {shown(href)}") from error
        raise ImageryError(f"{shown(href)}: {error}") from error
    except ValueError as error:
        raise ImageryError(f"{shown(href)}: {kind}:// is not a kind of address that can be read") from error


def stamp(href: str) -> str:
    """Size and modification time of a local file, etag or time of a remote one; changes when the file does. Raises
    ImageryError when there is no such file, CredentialsError when it may not be read."""
    kind = scheme(href)
    if kind == "file":
        try:
            status = local_path(href).stat()
        except OSError as error:
            raise ImageryError(f"{shown(href)}: {error.strerror}", remedy="Check the path.") from error
        return f"{status.st_size}-{status.st_mtime_ns}"
    if kind in ("http", "https"):
        return _http_stamp(href)
    try:
        facts = file_system(href).info(href)
    except FileNotFoundError as error:
        raise ImageryError(f"{shown(href)}: no such file", remedy="Check the path.") from error
    except OSError as error:
        raise _explained(href, "looking it up", error) from error
    known = [facts.get(k) for k in ("ETag", "etag", "mtime", "LastModified", "updated", "created")]
    return f"{facts.get('size')}-{next((str(k) for k in known if k), '')}"


def _http_stamp(href: str) -> str:
    try:
        with urllib.request.urlopen(urllib.request.Request(href, method="HEAD"), timeout=HTTP_STALL_S) as answer:
            told = answer.headers
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (405, 501):  # a server without HEAD; GDAL asks for ranges only
            return ""
        raise _http_error(href, "looking it up", error.code) from error
    except OSError as error:
        raise ReadFailed(f"{shown(href)}: {error}", remedy="Check the address and the network.") from error
    return f"{told.get('Content-Length', '')}-{told.get('ETag') or told.get('Last-Modified', '')}"


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
    told = "; ".join(dict.fromkeys(p for p in parts if p)).replace(href, shown(href))
    if is_remote(href) and (query := urlsplit(href).query):
        told = told.replace(query, "...")
    status = _STATUS.search(told)
    if status:
        return _http_error(href, doing, int(status[1]))
    if not is_remote(href) and not local_path(href).is_file():
        return ImageryError(f"{shown(href)}: no such file (when {doing})", remedy="Check the path.")
    return ReadFailed(
        f"{shown(href)}: pixels could not be read (when {doing}): {told}",
        remedy=_DAMAGED,
    )


def _http_error(href: str, doing: str, status: int) -> SwathError:
    said = f"{shown(href)}: the server answered {status} (when {doing})"
    if status in (401, 403):
        return CredentialsError(said, remedy="Check the credentials, or fetch a fresh signed address.")
    if status in (404, 410):
        return ImageryError(said, remedy="There is no such file; check the address.")
    return ReadFailed(said)
