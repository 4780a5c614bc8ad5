"""What is in a bucket that is to be removed: it stays with its content unless the removal of both was asked for."""

from __future__ import annotations

import os
from typing import Any

from swath.errors import InfrastructureError, MissingExtra

PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}
"""Scheme of an address -> (package that opens it, extra of swath that brings the package)."""


def kept_content(scheme: str, bucket: str) -> str:
    """Why a bucket stays: it has content. Empty for one that is empty or not there."""
    names = _names(_files(scheme), scheme, bucket)
    if not names:
        return ""
    return f"has content ({', '.join(names[:3])}{', ...' if names[3:] else ''}): --with-content removes it, too"


def remove_content(scheme: str, bucket: str) -> None:
    """Remove all objects of a bucket."""
    files = _files(scheme)
    for name in _names(files, scheme, bucket):
        try:
            files.rm(name, recursive=True)
        except Exception as error:
            raise _not_done(scheme, bucket, error) from error


def _names(files: Any, scheme: str, bucket: str) -> list[str]:
    try:
        return sorted(map(str, files.ls(bucket, detail=False)))
    except FileNotFoundError:
        return []
    except Exception as error:
        raise _not_done(scheme, bucket, error) from error


def _files(scheme: str) -> Any:
    import fsspec

    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # gcsfs would ask for the kind of the bucket
    try:
        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        raise MissingExtra(*PACKAGES[scheme], f"Opening {scheme}://") from error


def _not_done(scheme: str, bucket: str, error: Exception) -> InfrastructureError:
    return InfrastructureError(f"{scheme}://{bucket} cannot be emptied: {type(error).__name__}: {error}")
