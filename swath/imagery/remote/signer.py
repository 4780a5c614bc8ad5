"""Signer: who signs the addresses of a host, so that an address which is refused or whose signature expired is signed again.

Built in is the Planetary Computer, whose pixels lie on `*.blob.core.windows.net`; it signs for everybody. Others are named in
the environment: `SWATH_SIGNERS="HOST=ADDRESS HOST=ADDRESS"`. A signer answers `GET ADDRESS?href=...` with `{"href": "..."}`.
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
    """Signs the addresses of one host."""

    host: str
    """With its port where it has one; `*` stands for any part."""
    address: str

    def sign(self, href: str) -> str:
        """`href` with a fresh signature in place of the one that it has. Raises CredentialsError."""
        plain = href.split("?")[0]
        try:
            answer = urllib3.request("GET", f"{self.address}?href={quote(plain, safe='')}", timeout=_TIMEOUT_S)
            signed = json.loads(answer.data)["href"] if answer.status == 200 else None
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as error:
            raise CredentialsError(
                f"{plain}: could not be signed: {self.address}: {type(error).__name__}",
                remedy=f"Check the network and {SIGNERS}.",
            ) from error
        if not isinstance(signed, str) or _origin(signed) != _origin(plain):
            raise CredentialsError(
                f"{plain}: could not be signed: {self.address} answered {answer.status}",
                remedy=f"Check {SIGNERS}, or fetch a signed address yourself.",
            )
        return signed


def find_signer(href: str) -> Signer | None:
    """Who signs for the host of `href`; None when nobody is known. What the environment names comes first."""
    host = urlsplit(href).netloc.rpartition("@")[2].lower()
    for entry in [*os.environ.get(SIGNERS, "").split(), _PLANETARY_COMPUTER]:
        pattern, _, address = entry.partition("=")
        if not address:
            raise CredentialsError(f"{SIGNERS}: {entry!r} is not HOST=ADDRESS", remedy="Write host=https://... .")
        if fnmatch(host, pattern.lower()):
            return Signer(pattern, address)
    return None


class Signatures:
    """The newest signed address of each address, shared by the threads of a process."""

    def __init__(self) -> None:
        self._signed: dict[str, str] = {}
        self._lock = threading.Lock()

    def newest(self, href: str) -> str:
        """`href` as it was signed last; as it is when nobody signed it here."""
        return self._signed.get(href, href)

    def renewed(self, href: str, refused: str) -> str | None:
        """Another signed address than `refused` for `href`; None when nobody signs for its host."""
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
