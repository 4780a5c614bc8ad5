"""What becomes of one request for a range of a remote file: an answer, or a failure that another request may not have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """What a server sent for a range."""

    data: bytes
    size: int
    """Bytes of the whole file."""
    etag: str
    """Changes when the file does; empty when the server does not tell."""


class TransientError(Exception):
    """A busy server, a broken connection, a cut transfer. The message tells no address."""

    def __init__(self, told: str, retry_after_s: float = 0.0) -> None:
        super().__init__(told)
        self.retry_after_s = retry_after_s
