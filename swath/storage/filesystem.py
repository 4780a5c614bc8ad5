"""Object stores as file systems: where a map is published. Reading of imagery goes another way, see swath.imagery.remote.gdal_file."""

from __future__ import annotations

import os
from typing import Any

from swath.errors import ImageryError, MissingExtra
from swath.storage.address import redacted, scheme

_PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}


def open_filesystem(href: str) -> Any:
    """The fsspec file system of a URL. Raises MissingExtra when its package is not installed."""
    import fsspec

    kind = scheme(href)
    if kind == "gs":  # gcsfs would ask what kind of bucket it is with each call, and warn when it may not know
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        return fsspec.filesystem(kind)
    except ImportError as error:
        if kind in _PACKAGES:
            raise MissingExtra(*_PACKAGES[kind], f"Opening {redacted(href)}") from error
        raise ImageryError(f"{redacted(href)}: {error}") from error
    except ValueError as error:
        raise ImageryError(f"{redacted(href)}: {kind}:// is not a kind of address that can be opened") from error


def filesystem_and_path(href: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    files = open_filesystem(href)
    return files, files._strip_protocol(href)
