"""How a run is asked to stop: a signal or a time limit sets a flag that the engine reads; a second signal leaves at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from swath.errors import Interrupted, Stopped, Terminated

IMPORT_CHECK_S = 0.05
"""After so long it is looked again whether an import has ended."""


def inside_import(frame: FrameType | None) -> bool:
    """Whether a frame is inside an import. A module that is cut off in the middle stays broken for this process."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class StopNow(BaseException):
    """Raised in the middle of a call that runs in this process, so that it ends at once. Passes through `except Exception`."""


class Stop:
    """Whether a run was asked to stop, and by what."""

    def __init__(self) -> None:
        self.requested: Stopped | None = None
        self._in_call = False
        self._listening = False
        self._overdue: Stopped | None = None
        self._again = False
        """Whether the next signal is one of our own: the first came in the middle of an import."""

    @contextlib.contextmanager
    def in_call(self) -> Iterator[None]:
        """Inside, a signal raises StopNow: a call in this process is not waited for."""
        if self.requested:
            raise StopNow
        self._in_call = True
        try:
            yield
        finally:
            self._in_call = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM. Off the main thread nothing can listen, so nothing is done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        self._listening = True
        try:
            yield
        finally:
            self._listening = False
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def after(self, seconds: float | None, why: Stopped) -> Iterator[None]:
        """Inside, the run is asked to stop once so many seconds have passed; None is no limit."""
        if seconds is None:
            yield
            return
        ended = threading.Event()

        def wait() -> None:
            if not ended.wait(min(seconds, threading.TIMEOUT_MAX)):
                self.request(why)

        waiting = threading.Thread(target=wait, name="time limit", daemon=True)
        waiting.start()
        try:
            yield
        finally:
            ended.set()
            waiting.join()

    def request(self, why: Stopped) -> None:
        """Ask from another thread. By a signal where that is heard: it ends a call in the main thread too."""
        if self.requested is not None:
            return
        if self._listening:
            self._overdue = why
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.requested = why

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """End the call that runs in this process, as soon as it can be ended."""
        if not inside_import(frame):
            self._in_call = False
            raise StopNow
        again = threading.Timer(IMPORT_CHECK_S, self._remind, (number,))
        again.daemon = True
        again.start()

    def _remind(self, number: int) -> None:
        if self._in_call and self._listening:
            self._again = True
            os.kill(os.getpid(), number)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._again:
            self._again = False
            if self._in_call:
                self._leave(number, frame)
            return
        overdue, self._overdue = self._overdue, None
        if self.requested is not None and overdue is not None:
            return  # the time limit came upon a run that is stopping already
        if self.requested is not None:
            os.write(
                2,
                b"\nswath: second signal, leaving at once; `pipe resume last` goes on, `pipe sweep` shows what is left\n",
            )
            os._exit(self.requested.exit_code)
        self.requested = overdue or (
            Terminated("terminated") if number == signal.SIGTERM else Interrupted("interrupted")
        )
        if self._in_call:
            self._leave(number, frame)
