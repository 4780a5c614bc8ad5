"""What a running call can say about itself. Outside of a run nothing listens, so tasks can be called like any function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[float | None, float | None, int], None]
"""Takes done, total (of whatever the task counts) and a number of pixels that were finished since the last report."""

_listener: ContextVar[Listener | None] = ContextVar("swath_progress", default=None)
_run: ContextVar[str] = ContextVar("swath_run", default="")


def progress(done: float | None = None, total: float | None = None, *, pixels: int = 0) -> None:
    """Report from inside a task how far it is: `done` of `total`, and how many pixels were finished since the last report."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total, pixels)


def current_run() -> str:
    """Id of the run that the running call belongs to; empty outside of a run."""
    return _run.get()


@contextlib.contextmanager
def listening(listener: Listener, run: str) -> Iterator[None]:
    """Hear what the call inside reports, and tell it which run it belongs to."""
    token, token_run = _listener.set(listener), _run.set(run)
    try:
        yield
    finally:
        _listener.reset(token)
        _run.reset(token_run)
