"""Waiting for a server that is away for a while, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from swath.errors import SwathError


class Patience:
    """Of one wait."""

    def __init__(self, away_s: float, pause_s: float, told: Callable[[SwathError], None]) -> None:
        """away_s: without an answer for so long the wait ends. pause_s: between two tries. told: called with each missing answer."""
        self._away_s = away_s
        self._pause_s = pause_s
        self._told = told
        self._answered = time.monotonic()

    def answered(self) -> None:
        """The server has answered."""
        self._answered = time.monotonic()

    def wait(self, error: SwathError) -> None:
        """The server has not answered: wait a moment. Raises the error when it has not for too long."""
        if time.monotonic() - self._answered > self._away_s:
            raise error
        self._told(error)
        time.sleep(self._pause_s)
