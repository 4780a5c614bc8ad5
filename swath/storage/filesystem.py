"""Object stores as fsspec file systems, for files that are published. Imagery is read another way, see swath.imagery.remote."""

from __future__ import annotations

import os
from typing import Any

from swath.errors import ImageryError, MissingExtra
from swath.storage.address import redacted, scheme

CONNECTIONS = 80
"""At the same time to one bucket. botocore's default is 10, at which a store far away gives 200 small objects a second."""
_INCOMPLETE = ("ftp", "generic")
"""Kinds of file systems that cannot be told by their scheme alone, and do not say so with an error of their own."""
_PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}


def open_filesystem(href: str) -> Any:
    """The fsspec file system of a URL. Raises MissingExtra when its package is not installed, ImageryError when there is none that its
    scheme alone tells (zip:// needs another file, ftp:// a host)."""
    import fsspec

    kind = scheme(href)
    options: dict[str, Any] = {}
    if kind == "s3":
        own = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options = {"config_kwargs": {"max_pool_connections": CONNECTIONS, **own}}
    if kind == "gs":  # gcsfs would ask for the kind of bucket with each call, and warn when that is refused
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        if kind in _INCOMPLETE:
            raise ValueError(kind)
        return fsspec.filesystem(kind, **options)
    except ImportError as error:
        if kind in _PACKAGES:
            raise MissingExtra(*_PACKAGES[kind], f"Opening {redacted(href)}") from error
        raise ImageryError(f"{redacted(href)}: {error}") from error
    except Exception as error:  # each file system has arguments, and errors, of its own
        raise ImageryError(
            f"{redacted(href)}: {kind}:// is not a kind of address that can be opened", remedy="use s3:// or gs://"
        ) from error


def filesystem_and_path(href: str) -> tuple[Any, str]:
    """(file system, path in it) of a URL."""
    files = open_filesystem(href)
    try:
        return files, files._strip_protocol(href)
    except ValueError as error:
        raise ImageryError(f"{redacted(href)}: not an address of {scheme(href)}: {error}") from error
