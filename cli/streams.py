"""Standard streams that outlive their readers: a closed pipe or a full disk is noted, never raised into a run."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class Stream(io.TextIOWrapper):
    """A text stream that drops what cannot be written any more and remembers why."""

    error: OSError | None = None

    def write(self, text: str, /) -> int:
        if self.error is None:
            try:
                return super().write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self.error is None and not self.closed:
            try:
                super().flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # What is still buffered must go somewhere, or the interpreter complains when it closes the stream.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())

    @property
    def failed(self) -> bool:
        """Whether data was lost. A reader that left had what it wanted, so that does not count."""
        return self.error is not None and self.error.errno != errno.EPIPE


def protect() -> None:
    """Put a Stream in the place of stdout and of stderr."""
    sys.stdout = _protected(sys.stdout, 1)
    sys.stderr = _protected(sys.stderr, 2)


def _protected(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        # It was closed before the start. Something must hold its number, or the next file that is opened gets it.
        held = os.open(os.devnull, os.O_WRONLY)
        if held != number:
            os.dup2(held, number)
            os.close(held)
        return Stream(io.FileIO(number, "w", closefd=False), encoding="utf-8", errors="replace")
    if type(stream) is not io.TextIOWrapper:  # already ours, or a test's
        return stream
    stream.flush()
    encoding, buffered = stream.encoding, stream.line_buffering
    return Stream(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=buffered)


def abandoned(stream: TextIO) -> bool:
    """Whether nobody reads any more what is written to a stream, such as when `head` has had enough."""
    if isinstance(stream, Stream) and stream.error is not None:
        return True
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # a stream that somebody put there, such as a test's, has no number
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


@contextlib.contextmanager
def data_only() -> Iterator[TextIO]:
    """Keep stdout for data: inside, what anything else writes to it, child processes too, comes out on stderr."""
    outer = sys.stdout
    outer.flush()
    if not isinstance(outer, Stream):  # a stream that somebody put there, such as a test's: there is no number to move
        with contextlib.redirect_stdout(sys.stderr):
            yield outer
        return
    private = os.dup(1)
    data = Stream(io.BufferedWriter(io.FileIO(private, "w")), encoding=outer.encoding, errors="backslashreplace")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield data
    finally:
        data.flush()
        os.dup2(private, 1)
        sys.stdout = outer
        outer.error = outer.error or data.error
        data.close()
