"""JSON view: every event as one line of JSON."""

from __future__ import annotations

import threading
from typing import TextIO

from swath.events import Event


class JsonView:
    """A listener that writes every event to a stream at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._out.write(event.to_json() + "\n")
            self._out.flush()
