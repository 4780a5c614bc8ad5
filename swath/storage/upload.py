"""Uploads to an object store while a file is being made: the object appears whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from swath.errors import SwathError, TaskFailed
from swath.storage.attempts import Attempts
from swath.storage.object_writer import PART_BYTES, object_writer
from swath.storage.objects import check_size

Answer = TypeVar("Answer")


class Upload:
    """One object of a store (s3://, gs:// or another scheme of fsspec), sent in parts without a copy on the disk."""

    def __init__(self, url: str, attempts: Attempts = Attempts()) -> None:
        self.url = url
        self.size = 0
        """Bytes that were sent."""
        self.sha256 = ""
        self._attempts = attempts

    def send(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Send `chunks` as the whole object. Two parts are in memory at most; each request is repeated after errors that may pass.

        The object appears when all parts have arrived. When a chunk cannot be made, or a part cannot be sent, the upload is aborted.
        Raises TaskFailed when the store refuses it or holds another number of bytes than were sent, and CredentialsError.
        """
        writer = object_writer(self.url, self._attempts)
        digest, sent = hashlib.sha256(), 0
        try:
            waiting: bytes | None = None
            parts = 0
            for piece in _pieces(chunks):
                digest.update(piece)
                sent += len(piece)
                if waiting is not None:
                    self._request(writer.add, waiting)
                    parts += 1
                waiting = piece
            if parts:
                self._request(writer.add, waiting or b"")
                self._request(writer.complete)
            else:
                self._request(writer.put, waiting or b"")
            self._request(check_size, self.url, sent, self._attempts)
        except BaseException as error:
            writer.abort()
            if isinstance(error, OSError) and not isinstance(error, SwathError):  # of a chunk
                raise self._not_written(error) from error
            raise
        self.size, self.sha256 = sent, digest.hexdigest()

    def _request(self, request: Callable[..., Answer], *arguments: object) -> Answer:
        try:
            return request(*arguments)
        except SwathError:
            raise
        except Exception as error:  # clients of stores raise errors of their own
            raise self._not_written(error) from error

    def _not_written(self, error: Exception) -> TaskFailed:
        name = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        return TaskFailed(
            f"{self.url} could not be written: {name}{error}", remedy="what was there before is untouched"
        )


def _pieces(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same bytes in fewer, larger pieces."""
    waiting, size = [], 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PART_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
