"""A reference to a stored result: its digest and size, and the signed pickle itself when it is small."""

from __future__ import annotations

from typing import NamedTuple

from swath.errors import CredentialsError, StateError


class StoredResult(NamedTuple):
    """A result that can be had again: by value when small, else by its digest."""

    digest: str
    """Fingerprint of the value."""
    size: int
    """Bytes that are stored: signature and pickle."""
    data: bytes | None = None
    """Signature and pickle, when small."""

    def __dask_tokenize__(self) -> str:
        # Equal values can pickle to different bytes: only the digest says what this is.
        return self.digest


class DamagedResult(StateError):
    """A stored result is missing or its signature does not fit: the call that computed it has to be executed again."""


class StoreDenied(CredentialsError):
    """The bucket of the results may not be read or written, for instance because a token has expired."""
