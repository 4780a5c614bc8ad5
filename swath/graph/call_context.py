"""What a task can ask and report while it is called: the run's id, progress and metrics. Outside of a run these do nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

ProgressListener = Callable[[float | None, float | None, int, float], None]
"""Takes done, total (of whatever the task counts), and the pixels that were finished since the last report with their ground in km2."""
MetricsListener = Callable[[Mapping[str, float]], None]
"""Takes numbers by name."""

LeftOutListener = Callable[[str], None]
"""Takes what a call left out of its result, and why."""

_progress: ContextVar[ProgressListener | None] = ContextVar("swath_progress", default=None)
_metrics: ContextVar[MetricsListener | None] = ContextVar("swath_metrics", default=None)
_left_out: ContextVar[LeftOutListener | None] = ContextVar("swath_left_out", default=None)
_run: ContextVar[str] = ContextVar("swath_run", default="")


def progress(
    done: float | None = None, total: float | None = None, *, pixels: int = 0, ground_km2: float = 0.0
) -> None:
    """Report from inside a task: `done` of `total`; how many pixels were finished since the last report, and their ground in km2."""
    listener = _progress.get()
    if listener is not None:
        listener(done, total, pixels, ground_km2)


def metrics(values: Mapping[str, float]) -> None:
    """Report numbers from inside a task, such as {"loss": 0.21, "mean IoU": 0.83}. They are shown beside its progress."""
    listener = _metrics.get()
    if listener is not None:
        listener(values)


def left_out(what: str) -> None:
    """Report from inside a task that its result lacks a part of its input, which was broken: the run ends with exit code 3 and
    names it, or, with `on_error: stop`, it ends now."""
    listener = _left_out.get()
    if listener is not None:
        listener(what)


def current_run() -> str:
    """Id of the run that the current call belongs to; empty outside of a run."""
    return _run.get()


@contextlib.contextmanager
def reporting_to(
    listener: ProgressListener,
    run: str,
    metrics: MetricsListener | None = None,
    left_out: LeftOutListener | None = None,
) -> Iterator[None]:
    """Inside, `progress`, `metrics` and `left_out` call the listeners, and `current_run` is `run`."""
    tokens = _progress.set(listener), _run.set(run), _metrics.set(metrics), _left_out.set(left_out)
    try:
        yield
    finally:
        _progress.reset(tokens[0])
        _run.reset(tokens[1])
        _metrics.reset(tokens[2])
        _left_out.reset(tokens[3])
