"""Tokens: opaque words that prove who asks. The server stores digests only.

A token is `swath_KIND_` with 32 letters (160 random bits) and 7 letters of a checksum: secret scanners find it by its beginning, and
a mistyped one is refused without a question to the database.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib

KINDS = ("user", "agent", "attempt", "link")
_FORM = re.compile(r"swath_(user|agent|attempt|link)_([a-z2-7]{32})([a-z2-7]{7})")


def new_token(kind: str) -> str:
    """A new token of one of KINDS."""
    body = base64.b32encode(secrets.token_bytes(20)).decode().lower()
    return f"swath_{kind}_{body}{_checksum(kind, body)}"


def token_kind(token: str) -> str | None:
    """The kind of a token; None for a word that is none."""
    match = _FORM.fullmatch(token)
    if match is None or match[3] != _checksum(match[1], match[2]):
        return None
    return match[1]


def token_digest(token: str) -> str:
    """What the server stores of a token: SHA-256 in hex. The token itself has 160 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(kind: str, body: str) -> str:
    number = zlib.crc32(f"{kind}_{body}".encode())
    return base64.b32encode(number.to_bytes(5, "big")).decode().lower()[1:]
