"""A bucket of a simulated store, for code of this process: its environment leads to it until the block ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.imagery.servers import simulated_gs, simulated_s3


@contextlib.contextmanager
def simulated_bucket(store: str, folder: Path) -> Iterator[str]:
    """The URL of a bucket. store: s3 or gs. folder: an empty one for the store's files."""
    place = folder / "served"
    place.mkdir()
    (place / "here").write_text("a bucket is there when something is in it")
    server = simulated_s3(place) if store == "s3" else simulated_gs(place, folder / "gs")
    with server as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        cached = fsspec.get_filesystem_class(store)
        cached.clear_instance_cache()
        yield f"{store}://pixels"
        cached.clear_instance_cache()
