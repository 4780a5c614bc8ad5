"""The events of a run on their way to its listeners, without secrets in their texts."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence

from swath import crashpoint
from swath.engine.journal import Journal
from swath.errors import StateError
from swath.events import CallDone, Event, Listener, Log


class EventStream:
    """Hands each event to every listener. What the runner itself says is written to the journal too."""

    def __init__(self, run: str, journal: Journal, listeners: Sequence[Listener], scrub: Callable[[str], str]) -> None:
        """Made on the thread that makes the calls of this process. `scrub` takes secrets out of a text."""
        self.scrub = scrub
        self._run = run
        self._journal = journal
        self._listeners = list(listeners)
        self._thread, self._stdout = threading.get_ident(), sys.stdout
        self._busy: set[int] = set()
        """Threads that are in a listener."""

    def emit(self, event: Event) -> None:
        """Hand an event on. May be called by any thread.

        While a call runs in this process, what is printed or logged becomes events. A listener that prints or logs would thereby
        cause events without end: its stdout is the one from before the run, and events that it causes are dropped.
        """
        thread = threading.get_ident()
        if thread in self._busy:
            return
        captured = thread == self._thread and sys.stdout is not self._stdout
        failed: list[tuple[Listener, Exception]] = []
        self._busy.add(thread)
        try:
            with contextlib.redirect_stdout(self._stdout) if captured else contextlib.nullcontext():
                for listener in tuple(self._listeners):
                    try:
                        listener(event)
                    except Exception as error:  # noqa: BLE001 - a faulty reader must not end a run that costs hours
                        failed.append((listener, error))
        finally:
            self._busy.discard(thread)
        for listener, fault in failed:
            self._listeners = [each for each in self._listeners if each is not listener]
            self.say(
                "warning", f"a listener raised {type(fault).__name__}: {fault}; it gets no more events ({listener!r})"
            )
        if isinstance(event, CallDone) and not event.reused:
            crashpoint.reached("running")

    def say(self, level: str, text: str) -> None:
        """A line of the runner's own: to the journal and to every listener."""
        text = self.scrub(text)
        now = time.time()
        with contextlib.suppress(StateError):  # listeners get what the journal cannot store
            self._journal.write_log(self._run, now, level, text)
        self.emit(Log(time=now, run=self._run, level=level, text=text))
