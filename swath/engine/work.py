"""One call as it travels to where it runs, and what comes back. `perform` is all that a worker executes."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from swath.engine.store import ResultStore, Stored
from swath.errors import SwathError
from swath.graph.current import listening
from swath.graph.ref import fill, select
from swath.graph.task import Task


@dataclass(frozen=True)
class Kept:
    """In a call's arguments: a stored result, or a part of it."""

    stored: Stored
    path: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class KeptItems:
    """In a call's arguments: the results of a mapped node, in order, without those that were set aside."""

    items: tuple[Stored, ...]
    path: tuple[tuple[str, Any], ...] = ()


class Items(Sequence[Any]):
    """The results of a mapped node as its consumer sees them: each is loaded when it is asked for, and not held."""

    def __init__(self, store: ResultStore, items: tuple[Stored, ...]) -> None:
        self._store = store
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, item: int) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Any]: ...
    def __getitem__(self, item: int | slice) -> Any:
        if isinstance(item, slice):
            return Items(self._store, self._items[item])
        return self._store.get(self._items[item])

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return tuple(item.digest for item in self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


@dataclass(frozen=True)
class Work:
    """One call: a task and where its arguments are."""

    id: str
    """Unique in the run: node, item and attempt."""
    task: Task
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    store: ResultStore
    timeout_s: float | None = None
    resources: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """A line or a progress report that came out of a call while it ran."""

    work: str
    time: float
    level: str
    """A log level, or `progress`, or `started`."""
    text: str = ""
    done: float | None = None
    total: float | None = None
    pixels: int = 0
    worker: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a call ended. Exactly one of `result` and `error` is there."""

    work: str
    worker: str
    seconds: float
    result: Stored | None = None
    error: str = ""
    """One line: the error's class and message, or just the message of a SwathError."""
    traceback: str = ""
    retryable: bool = True
    exit_code: int = 1
    """Of the error, when it is a SwathError."""
    lost: bool = False
    """True when the worker died or was ended, so the call itself could not say anything."""


Say = Callable[[Said], None]


def worker_name() -> str:
    """Short name of this process, for logs."""
    return f"{os.uname().nodename}:{os.getpid()}"


def load_arguments(work: Work) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments with every stored result in its place."""

    def put(kept: Kept | KeptItems) -> Any:
        if isinstance(kept, KeptItems):
            return select(Items(work.store, kept.items), kept.path)
        return select(work.store.get(kept.stored), kept.path)

    args, kwargs = fill((work.args, work.kwargs), (Kept, KeptItems), put)
    return args, kwargs


def perform(work: Work, say: Say, worker: str | None = None) -> Outcome:
    """Make the call. Never raises for what the task does: an error is an Outcome. Signals and exits pass through."""
    name = worker or worker_name()
    started = time.time()
    clock = time.perf_counter()
    say(Said(work.id, started, "started", worker=name))

    def report(done: float | None, total: float | None, pixels: int) -> None:
        say(Said(work.id, time.time(), "progress", done=done, total=total, pixels=pixels, worker=name))

    try:
        with _speaking(work.id, name, say), listening(report, work.id.partition("/")[0]):
            args, kwargs = load_arguments(work)
            value = work.task.fn(*args, **kwargs)
        stored = work.store.put(value)
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return failure(work.id, name, time.perf_counter() - clock, error)
    return Outcome(work.id, name, time.perf_counter() - clock, stored)


def failure(work: str, worker: str, seconds: float, error: BaseException) -> Outcome:
    """The outcome of a call that raised."""
    if isinstance(error, SwathError):
        text, retryable, code = str(error), error.retryable, error.exit_code
    else:
        text, retryable, code = f"{type(error).__name__}: {error}", not isinstance(error, (TypeError, SyntaxError)), 1
    trace = "".join(traceback.format_exception(error))
    return Outcome(work, worker, seconds, None, text.strip(), trace, retryable, code)


class _Lines(io.TextIOBase):
    """A text stream that hands each whole line on."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self._rest = ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write_line(line)
        return len(text)

    def close(self) -> None:
        if self._rest:
            self._write_line(self._rest)
            self._rest = ""


class _Records(logging.Handler):
    def __init__(self, say: Callable[[str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.levelname.lower().replace("critical", "error"), self.format(record))


@contextlib.contextmanager
def _speaking(work: str, worker: str, say: Say) -> Iterator[None]:
    """Turn what the call prints, logs and warns into lines."""

    def line(level: str, text: str) -> None:
        say(Said(work, time.time(), level, text, worker=worker))

    root = logging.getLogger()
    handler, level = _Records(line), root.level
    out = _Lines(lambda text: line("info", text))
    root.addHandler(handler)
    root.setLevel(min(level or logging.WARNING, logging.INFO))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(out):
            warnings.simplefilter("default")
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)  # as Python itself does: they are for those who write libraries
            warnings.showwarning = lambda message, category, *_rest, **_more: line(
                "warning", f"{category.__name__}: {message}"
            )
            yield
            out.close()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
