"""The outcome of one request for a range of a remote file: a response, or a transient error after which it is sent again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """What a server sent for a range."""

    data: bytes
    size: int
    """Bytes of the whole file."""
    etag: str
    """Changes when the file does; empty when the server sends neither an ETag nor a time."""
    modified: str = ""
    """Time of the last modification, as the server writes it."""


class TransientError(Exception):
    """A busy server, a broken connection, a cut transfer: another request may succeed. The message holds no address."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        """`retry_after_s`: what the server asks to wait before the next request; 0 when it does not say."""
        super().__init__(message)
        self.retry_after_s = retry_after_s
