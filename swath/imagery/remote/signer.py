"""Signed URLs: services that sign the URLs of a host, so that one which is refused or has expired is signed again.

Built in is the Planetary Computer, for `*.blob.core.windows.net`; it needs no account. Others are named in the environment:
`SWATH_SIGNERS="HOST=ADDRESS HOST=ADDRESS"`. A signer answers `GET ADDRESS?href=...` with `{"href": "..."}`.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from fnmatch import fnmatch
from urllib.parse import quote, urlsplit

import urllib3

from swath.errors import CredentialsError

SIGNERS = "SWATH_SIGNERS"
_PLANETARY_COMPUTER = "*.blob.core.windows.net=https://planetarycomputer.microsoft.com/api/sas/v1/sign"
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Signer:
    """A service that signs the URLs of one host."""

    host: str
    """With its port where it has one; `*` stands for any part."""
    address: str
    """URL of the service."""

    def sign(self, href: str) -> str:
        """`href` with a fresh signature in place of the one that it has. Raises CredentialsError."""
        plain = href.split("?")[0]
        try:
            reply = urllib3.request("GET", f"{self.address}?href={quote(plain, safe='')}", timeout=_TIMEOUT_S)
            signed = json.loads(reply.data)["href"] if reply.status == 200 else None
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as error:
            raise CredentialsError(
                f"{plain}: could not be signed: {self.address}: {type(error).__name__}",
                remedy=f"Check the network and {SIGNERS}.",
            ) from error
        if not isinstance(signed, str) or _origin(signed) != _origin(plain):
            raise CredentialsError(
                f"{plain}: could not be signed: {self.address} answered {reply.status}",
                remedy=f"Check {SIGNERS}, or fetch a signed address yourself.",
            )
        return signed


def find_signer(href: str) -> Signer | None:
    """The signer for the host of `href`, those of the environment first; None when there is none. Raises CredentialsError when
    the environment names one that cannot be understood."""
    host = urlsplit(href).netloc.rpartition("@")[2].lower()
    for entry in [*os.environ.get(SIGNERS, "").split(), _PLANETARY_COMPUTER]:
        pattern, _, address = entry.partition("=")
        if not address:
            raise CredentialsError(f"{SIGNERS}: {entry!r} is not HOST=ADDRESS", remedy="Write host=https://... .")
        if fnmatch(host, pattern.lower()):
            return Signer(pattern, address)
    return None


class Signatures:
    """The latest signed URL of each URL. Threads may share it."""

    def __init__(self) -> None:
        self._signed: dict[str, str] = {}
        self._lock = threading.Lock()

    def newest(self, href: str) -> str:
        """`href` as it was signed last; unchanged when it was not signed yet."""
        return self._signed.get(href, href)

    def renewed(self, href: str, refused: str) -> str | None:
        """Another signed URL of `href` than `refused`; None when there is no signer for its host."""
        signer = find_signer(href)
        if signer is None:
            return None
        with self._lock:
            if self.newest(href) == refused:
                self._signed[href] = signer.sign(href)
            return self.newest(href)


def _origin(href: str) -> tuple[str, str, str]:
    parts = urlsplit(href)
    return parts.scheme, parts.netloc, parts.path
