"""Opens raster files, local or remote, of the allowed formats, with GDAL's settings for reading and errors that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any
from urllib.parse import urlsplit

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader

from swath.errors import ImageryError, ReadFailed, SwathError
from swath.imagery.remote.file_format import (
    DRIVERS,
    HEAD_BYTES,
    describe_format,
    driver_of,
    folder_advice,
    format_advice,
)
from swath.imagery.remote.gdal_file import Opener, close_at_exit, raise_fetch_errors, share_openers
from swath.imagery.remote.remote_file import RemoteFile
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.spec.locations import special_file
from swath.storage.address import is_remote, local_path, redacted, scheme
from swath.storage.filesystem import open_filesystem

RAW_BLOCK_CACHE_BYTES = 32 * 2**20
"""Encoded bytes that GDAL requests at once and holds."""

_BY_RANGES = ("http", "https", "s3", "gs")
"""URL schemes that swath.imagery.remote.range_request reads; others go through fsspec."""
_BESIDE = (".aux.xml", ".msk", ".ovr")
_BESIDE_STEM = (
    ".aux", ".tfw", ".tifw", ".wld", ".tab", ".prj", ".pgw", ".jgw", ".j2w", ".imd", ".rpb", ".rpc", ".xml", ".pvl", ".pass", ".attr",
    "_rpc.txt", "_mtl.txt", "_metadata.txt", "_metadata.xml", "_rpc.xml", "_meta.xml",
)  # fmt: skip
"""Files of georeference, statistics and satellites' metadata that GDAL reads with an image, after its name or instead of its suffix."""
_UNKNOWN_FORMAT = "not recognized as being in a supported file format"
_FETCH_AGAIN = "The file is damaged or was cut: fetch it again, and check it with gdalinfo -checksum."


def gdal_read_env(href: str) -> rasterio.Env:
    """GDAL's settings for reading `href`. They hold inside the `with` only; nothing is set for the whole process."""
    settings: dict[str, Any] = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_NUM_THREADS": 1}
    if is_remote(href):
        settings |= {
            # No side-car files are looked for: each guess would be a request. Local files have theirs (.msk, .tfw, .aux.xml).
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            # Ranges of a window are fetched together, several at once, up to so many bytes.
            "GDAL_MAX_RAW_BLOCK_CACHE_SIZE": RAW_BLOCK_CACHE_BYTES,
        }
    return rasterio.Env(**settings)


@contextmanager
def gdal_errors(href: str, doing: str) -> Iterator[None]:
    """Run the body with GDAL's settings for `href`. What GDAL raises becomes ReadFailed or ImageryError, with the file and `doing`."""
    try:
        with gdal_read_env(href), raise_fetch_errors():
            yield
    except SwathError as error:
        # Errors of fetch_range name the address, but not what it was read for.
        if is_remote(href) and error.message.startswith(redacted(href)) and "(when " not in error.message:
            error.message += f" (when {doing})"
            error.args = (error.message,)
        raise
    except (RasterioError, OSError, ValueError) as error:
        raise _explain(href, doing, error) from error


def open_raster(href: str, policy: RequestPolicy = POLICY) -> DatasetReader:
    """Open a local or remote raster of an allowed format. Call it inside `gdal_errors`; the caller closes it.

    Raises ImageryError for another format, ReadFailed when the header cannot be read, what fetch_range raises, and GDAL's errors.
    """
    kind = scheme(href)
    path, options = href, {}
    drivers: tuple[str, ...] = DRIVERS
    if kind == "file":
        path = str(local_path(href))
        _check_is_file(href, Path(path).stat().st_mode)
        _check_sidecars(path)
        with Path(path).open("rb") as opened:
            drivers = (_driver(href, opened.read(HEAD_BYTES)),)
    elif kind in _BY_RANGES:
        file = RemoteFile(href, policy)
        drivers = (_driver(href, file.head[:HEAD_BYTES]),)
        path, options = file.name, {"opener": Opener(file)}
    else:
        options = {"opener": open_filesystem(href)}
    if options:
        share_openers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # find_scenes notes what this means for the map
        for driver in drivers:
            try:
                return _without_other_files(
                    close_at_exit(rasterio.open(path, driver=driver, sharing=False, **options)), href
                )
            except RasterioIOError as error:
                if _UNKNOWN_FORMAT not in str(error):
                    raise
    raise ReadFailed(f"{redacted(href)}: its header cannot be read", remedy=_FETCH_AGAIN)


def _driver(href: str, head: bytes) -> str:
    """GDAL's driver for a file that starts with `head`. Raises ImageryError when its format is not allowed."""
    driver = driver_of(head)
    if driver is None:
        what = describe_format(head)
        raise ImageryError(f"{redacted(href)}: {what}, not a raster that can be read", remedy=format_advice(what))
    return driver


def _check_is_file(href: str, mode: int) -> None:
    """Raises ImageryError for a folder, a pipe or a device: reading from a pipe waits for ever, and a device has no end."""
    if S_ISDIR(mode):
        folder = local_path(href)
        what, advice = folder_advice(folder.name, sorted(each.name for each in folder.iterdir())[:1000])
        raise ImageryError(f"{redacted(href)}: {what}, not a raster that can be read", remedy=advice)
    if not S_ISREG(mode):
        what = "a pipe, a socket or a device"
        raise ImageryError(f"{redacted(href)}: {what}, not a raster that can be read", remedy="Name the file itself.")


def _without_other_files(opened: DatasetReader, href: str) -> DatasetReader:
    """The same file, closed and refused when its metadata name another for overviews: GDAL opens that, whatever and wherever it is."""
    if opened.tags(ns="OVERVIEWS"):
        opened.close()
        raise ImageryError(
            f"{redacted(href)}: its metadata name another file as its overviews",
            remedy="Remove the .aux.xml file beside it, or write it again: gdal_translate -of COG.",
        )
    return opened


def _check_sidecars(path: str) -> None:
    # GDAL opens these with any driver, so one of them could be a VRT.
    for side in (Path(path + ".msk"), Path(path + ".ovr")):
        if side.is_file():
            with side.open("rb") as file:
                if file.read(2) not in (b"II", b"MM"):
                    raise ImageryError(
                        f"{side}: not a TIFF", remedy="Remove the file, or write it again with gdaladdo or rio."
                    )
    stem = str(Path(path).with_suffix(""))
    stems = {stem, stem.rpartition("_B")[0] or stem}  # one text for all bands of a Landsat image
    ends = [each for end in _BESIDE_STEM for each in (end, end.upper(), end.replace("_mtl", "_MTL"))]
    for name in (*(path + end for end in _BESIDE), *(each + end for each in stems for end in ends)):
        if what := special_file(name):  # reading it would block, or never end
            raise ImageryError(f"{name}: {what} beside {path}", remedy="Remove it: GDAL reads it with the image.")


def _explain(href: str, doing: str, error: Exception) -> SwathError:
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        parts.append(str(link))
        link = link.__cause__ or link.__context__
    text = "; ".join(dict.fromkeys(p for p in parts if p)).replace(href, redacted(href))
    if is_remote(href) and (query := urlsplit(href).query):
        text = text.replace(query, "...")
    if not is_remote(href) and not local_path(href).is_file():
        return ImageryError(f"{redacted(href)}: no such file (when {doing})", remedy="Check the path.")
    return ReadFailed(
        f"{redacted(href)}: pixels could not be read (when {doing}): {text}",
        remedy=_FETCH_AGAIN,
    )
