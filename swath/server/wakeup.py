"""Wakes requests that wait for something to happen in the database, such as a new run."""

from __future__ import annotations

import asyncio


class Wakeup:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closed = False
        """Whether the server ends: nobody waits any more."""

    def notify(self) -> None:
        """Wake all that wait."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def close(self) -> None:
        """Wake all for the last time."""
        self.closed = True
        self.notify()

    async def wait(self, seconds: float) -> None:
        """Wait until something happens, at most so many seconds."""
        if self.closed or seconds <= 0:
            return
        event = self._event
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return
