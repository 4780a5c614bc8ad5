"""Buckets that results are kept in, as fsspec sees them."""

from __future__ import annotations

import os
from typing import Any


def located(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    import fsspec

    if url.startswith(("gs://", "gcs://")):
        # gcsfs would ask Google what kind of bucket it is with each call, and wait long where that is not answered.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path
