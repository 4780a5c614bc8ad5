"""What a running call can say about itself. Outside of a run nothing listens, so tasks can be called like any function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

ProgressListener = Callable[[float | None, float | None, int], None]
"""Takes done, total (of whatever the task counts) and a number of pixels that were finished since the last report."""

_listener: ContextVar[ProgressListener | None] = ContextVar("swath_progress", default=None)
MetricsListener = Callable[[Mapping[str, float]], None]
"""Takes numbers by name."""

_teller: ContextVar[MetricsListener | None] = ContextVar("swath_metrics", default=None)
_run: ContextVar[str] = ContextVar("swath_run", default="")


def progress(done: float | None = None, total: float | None = None, *, pixels: int = 0) -> None:
    """Report from inside a task how far it is: `done` of `total`, and how many pixels were finished since the last report."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total, pixels)


def metrics(values: Mapping[str, float]) -> None:
    """Report from inside a task how well it does, such as {"loss": 0.21, "mean IoU": 0.83}: shown beside its progress."""
    teller = _teller.get()
    if teller is not None:
        teller(values)


def current_run() -> str:
    """Id of the run that the running call belongs to; empty outside of a run."""
    return _run.get()


@contextlib.contextmanager
def listening(listener: ProgressListener, run: str, teller: MetricsListener | None = None) -> Iterator[None]:
    """Hear what the call inside reports, and tell it which run it belongs to."""
    token, token_run, token_teller = _listener.set(listener), _run.set(run), _teller.set(teller)
    try:
        yield
    finally:
        _listener.reset(token)
        _run.reset(token_run)
        _teller.reset(token_teller)
