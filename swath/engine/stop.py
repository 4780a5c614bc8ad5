"""Stopping a run: a signal or a time limit sets a flag that the engine reads; a second signal ends the process at once.

A call in this process that computes in C code hears neither: it is given a grace time, and then the process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from swath.engine.signal_watch import watching
from swath.errors import Interrupted, Stopped, Terminated

IMPORT_CHECK_S = 0.05
"""Seconds until the next look whether an import has ended."""


@dataclass(frozen=True)
class StopLimits:
    """Seconds until the process ends although its main thread does not hear a signal."""

    grace_s: float = 10.0
    """After the first, when a call runs in this process."""
    second_s: float = 1.0
    """After a second one."""
    last_words_s: float = 5.0
    """For writing down how the run ended."""


def inside_import(frame: FrameType | None) -> bool:
    """Whether a frame is inside an import. A module whose import is cut off stays broken for this process."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _stopped_by(number: int) -> Stopped:
    """The reason that a signal is."""
    if number == signal.SIGHUP:
        return Terminated("terminated: the terminal was closed (SIGHUP)")
    return Terminated("terminated") if number == signal.SIGTERM else Interrupted("interrupted")


class StopNow(BaseException):
    """Raised in the middle of a call that runs in this process, so that it ends at once. Passes through `except Exception`."""


class Stop:
    """Whether a run was asked to stop, and why."""

    def __init__(self, limits: StopLimits = StopLimits()) -> None:
        self.limits = limits
        self.requested: Stopped | None = None
        """Why it was asked to stop; None if it was not."""
        self._in_call = False
        self._handles_signals = False
        self._from_thread: Stopped | None = None
        """The reason of a request by another thread, whose signal is on its way."""
        self._resent = False
        """Whether the next signal is sent by this class: the first came in the middle of an import."""
        self._heard_at = 0.0
        """When a signal was last handled, by the monotonic clock."""
        self._check = threading.Timer(0, int)
        self.on_leaving: Callable[[Stopped], None] | None = None
        """Writes down how the run ended, when the process ends without the main thread. Called in another thread."""

    @contextlib.contextmanager
    def in_call(self) -> Iterator[None]:
        """Inside, a signal raises StopNow, so that a call in this process ends. Raises it at once when a stop was requested."""
        if self.requested:
            raise StopNow
        self._in_call = True
        try:
            yield
        finally:
            self._in_call = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Inside, SIGINT, SIGTERM and SIGHUP request a stop; SIGHUP does not where it was ignored, as after nohup. Off the main thread,
        where no signal can be handled, it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._handles_signals = True
        try:
            with watching(numbers, self._patience_s, lambda: self._heard_at, self._on_unheard):
                yield
        finally:
            self._handles_signals = False
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def after(self, seconds: float | None, reason: Stopped) -> Iterator[None]:
        """Inside, request a stop once so many seconds have passed; None is no limit."""
        if seconds is None:
            yield
            return
        ended = threading.Event()

        def wait() -> None:
            if not ended.wait(min(seconds, threading.TIMEOUT_MAX)):
                self.request(reason)

        waiting = threading.Thread(target=wait, name="time limit", daemon=True)
        waiting.start()
        try:
            yield
        finally:
            ended.set()
            waiting.join()

    def request(self, reason: Stopped) -> None:
        """Request a stop from another thread. By a signal where those are handled: it ends a call in the main thread, too."""
        if self.requested is not None:
            return
        if self._handles_signals:
            self._from_thread = reason
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.requested = reason

    def _patience_s(self, number: int, again: bool) -> float:
        """How long a signal that has just come is given to be heard."""
        from_user = not self._resent and self._from_thread is None and number != signal.SIGHUP
        return self.limits.second_s if (again or self.requested) and from_user else self.limits.grace_s

    def _on_unheard(self, number: int, again: bool) -> None:
        """End the process: its main thread is in C code. Not while a publication has the signals delayed, nor, for the first
        signal, outside of a call."""
        if signal.getsignal(number) != self._on_signal or not (self._in_call or self.requested or again):
            return
        reason = self.requested or self._from_thread or _stopped_by(number)
        if self.on_leaving is not None:
            writing = threading.Thread(target=self.on_leaving, args=(reason,), daemon=True)
            writing.start()
            writing.join(self.limits.last_words_s)
        os.write(
            2,
            b"\nswath: a call does not hear the signal, leaving; `pipe resume last` goes on, `pipe sweep` shows what is left\n",
        )
        os._exit(reason.exit_code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._heard_at = time.monotonic()
        if self._resent:
            self._resent = False
            self._check.cancel()
            if self._in_call:
                self._end_call(number, frame)
            return
        reason, self._from_thread = self._from_thread, None
        if self.requested is not None and reason is not None:
            return  # the time limit was reached while the run is stopping already
        if self.requested is not None and number == signal.SIGHUP:
            return  # shell and kernel both send it when a terminal is closed
        if self.requested is not None:
            os.write(
                2,
                b"\nswath: second signal, leaving at once; `pipe resume last` goes on, `pipe sweep` shows what is left\n",
            )
            os._exit(self.requested.exit_code)
        self.requested = reason or _stopped_by(number)
        if self._in_call:
            self._end_call(number, frame)

    def _end_call(self, number: int, frame: FrameType | None) -> None:
        """End the call that runs in this process: now, or after the import that it is in."""
        if not inside_import(frame):
            self._in_call = False
            raise StopNow
        again = threading.Timer(IMPORT_CHECK_S, self._resend, (number,))
        again.daemon = True
        again.start()

    def _resend(self, number: int) -> None:
        if self._in_call and self._handles_signals:
            self._resent = True
            self._check = threading.Timer(self.limits.grace_s, self._check_resent, (number,))
            self._check.daemon = True
            self._check.start()
            os.kill(os.getpid(), number)

    def _check_resent(self, number: int) -> None:
        """After the grace time: whether the signal that was sent again came after the import, into C code."""
        if self._resent:
            self._on_unheard(number, again=True)
