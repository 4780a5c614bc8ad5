"""A reference to a stored result: its digest and size, and the pickle itself when it is small."""

from __future__ import annotations

from typing import NamedTuple


class StoredResult(NamedTuple):
    """A result that can be had again: by value when small, else by its digest."""

    digest: str
    """Fingerprint of the value."""
    size: int
    """Bytes of the pickle."""
    data: bytes | None = None
    """The pickle, when small."""

    def __dask_tokenize__(self) -> str:
        # Equal values can pickle to different bytes: only the digest says what this is.
        return self.digest
