"""Signatures of requests that fire hooks, as Standard Webhooks say: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

PREFIX = "whsec_"
WINDOW_S = 300.0
"""How old, or how far ahead, the time of a request may be."""
LONGEST_ID = 200
_SOME_KEY = f"{PREFIX}{base64.b64encode(bytes(32)).decode()}"


@dataclass(frozen=True)
class SignedRequest:
    """A request, with the headers webhook-id, webhook-timestamp and webhook-signature."""

    id: str
    timestamp: str
    signature: str
    body: bytes

    def problem(self, key: str, now: float) -> str:
        """Why it is not believed; empty when it is. key: of the hook; empty for one that is not there."""
        if not (self.id.isascii() and self.id.isprintable() and 0 < len(self.id) <= LONGEST_ID):
            return f"the header webhook-id has 1 to {LONGEST_ID} printable characters"
        if not (self.timestamp.isascii() and self.timestamp.isdecimal()):
            return "the header webhook-timestamp has seconds since 1970"
        expected = sign(key or _SOME_KEY, self.id, self.timestamp, self.body)
        equal = [hmac.compare_digest(expected.encode(), word.encode()) for word in self.signature.split()]
        if True not in equal or not key:
            return "the signature is not right"
        if abs(now - int(self.timestamp)) > WINDOW_S:
            return f"the time of the request is more than {WINDOW_S:.0f} s from now"
        return ""


def new_hook_key() -> str:
    """A key with 256 random bits."""
    return f"{PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}"


def sign(key: str, identity: str, timestamp: str, body: bytes) -> str:
    """The signature of a request. Raises ValueError for a key that is none."""
    try:
        secret = base64.b64decode(key.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a key is whsec_ and base64") from error
    digest = hmac.new(secret, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
