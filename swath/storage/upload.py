"""Uploads to an object store while a file is being made: the object appears whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from swath.errors import TaskFailed
from swath.storage.filesystem import open_filesystem

PART_BYTES = 16 << 20
"""Bytes of one part of an upload; one part is in memory. Stores allow 10,000 parts, so a file may have 160 GB."""


class Upload:
    """One object of a store (s3://, gs:// or another scheme of fsspec), sent in parts without a copy on the disk."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.size = 0
        """Bytes that were sent."""
        self.sha256 = ""

    def send(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Send `chunks` as the whole object.

        The object appears when all parts have arrived. When a chunk cannot be made, or a part cannot be sent, the upload is aborted.
        Raises TaskFailed when the store refuses it or holds another number of bytes than were sent.
        """
        from fsspec.spec import AbstractBufferedFile

        files = open_filesystem(self.url)
        digest, sent = hashlib.sha256(), 0
        try:
            file = files.open(self.url, "wb", block_size=PART_BYTES)
            try:
                for piece in _pieces(chunks):
                    digest.update(piece)
                    sent += file.write(piece)
            except BaseException:
                file.discard()  # close would complete the object with what was sent so far
                if isinstance(file, AbstractBufferedFile):
                    file.closed = True
                raise
            file.close()
            files.invalidate_cache()
            found = files.info(self.url)["size"]
        except OSError as error:
            raise TaskFailed(
                f"{self.url} could not be written: {error}", remedy="what was there before is untouched"
            ) from error
        if found != sent:
            raise TaskFailed(f"{self.url} could not be written: {found} bytes arrived instead of {sent}")
        self.size, self.sha256 = sent, digest.hexdigest()


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
