"""Upload: a file that is sent to an object store while it is made, and is there whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from swath.errors import TaskFailed
from swath.storage.filesystem import open_filesystem

PART_BYTES = 16 << 20
"""Bytes of one part of an upload; this much is in memory. Stores allow 10,000 parts, so a file may have 160 GB."""


class Upload:
    """One object of a store (s3://, gs:// or what else fsspec knows), sent in parts without a copy on the disk."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.size = 0
        """Bytes that were sent."""
        self.sha256 = ""

    def send(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Send `chunks` as the whole object.

        Nothing appears before all has arrived: when a chunk cannot be made, or a part not be sent, the upload is given up.
        Raises TaskFailed when the store refuses it or holds another number of bytes than were sent.
        """
        files = open_filesystem(self.url)
        digest, sent = hashlib.sha256(), 0
        try:
            file = files.open(self.url, "wb", block_size=PART_BYTES)
            try:
                for piece in _pieces(chunks):
                    digest.update(piece)
                    sent += file.write(piece)
            except BaseException:
                file.discard()  # close would complete what there is until now
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
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PART_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
