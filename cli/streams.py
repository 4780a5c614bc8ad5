"""Standard streams that never raise, and write control characters as escapes.

A closed pipe or a full disk ends the output, not the run. Text of a spec, a file or a server cannot steer the terminal.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from swath.cli.render.terminal_text import printable


class Stream(io.TextIOWrapper):
    """A text stream that writes control characters as escapes, drops output after the first error and keeps the error."""

    error: OSError | None = None

    def write(self, text: str, /) -> int:
        self.write_as_it_is(printable(text))
        return len(text)

    def write_as_it_is(self, text: str) -> None:
        """Write text that may have control characters: for a view that draws on the terminal."""
        if self.error is None:
            try:
                super().write(text)
            except OSError as error:
                self._give_up(error)

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
        """Whether output was lost. A closed pipe does not count: its reader chose to stop."""
        return self.error is not None and self.error.errno != errno.EPIPE


class Terminal:
    """A stream for a view that draws: what it writes reaches the terminal unchanged. Texts from elsewhere must be printable."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if isinstance(self._stream, Stream):
            self._stream.write_as_it_is(text)
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect() -> None:
    """Replace stdout and stderr by a Stream."""
    sys.stdout = _protected(sys.stdout, 1)
    sys.stderr = _protected(sys.stderr, 2)


def _protected(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        # It was closed before the start. Its number must be taken, or the next file that is opened gets it.
        null = os.open(os.devnull, os.O_WRONLY)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        return Stream(io.FileIO(number, "w", closefd=False), encoding="utf-8", errors="replace")
    if type(stream) is not io.TextIOWrapper:  # already ours, or a test's
        return stream
    stream.flush()
    encoding, buffered = stream.encoding, stream.line_buffering
    return Stream(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=buffered)


def abandoned(stream: TextIO) -> bool:
    """Whether the reader of a stream has closed it, as `head` does."""
    if isinstance(stream, Stream) and stream.error is not None:
        return True
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # a replaced stream, such as a test's, has no number
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


@contextlib.contextmanager
def data_only() -> Iterator[TextIO]:
    """Keep stdout for data: inside, anything else written to stdout, also by child processes, goes to stderr."""
    outer = sys.stdout
    outer.flush()
    if not isinstance(outer, Stream):  # a replaced stream, such as a test's: there is no number to move
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
