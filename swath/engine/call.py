"""Calls as they travel to where they run, and what comes back. `execute_batch` is all that a worker executes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from swath.engine.store import ResultStore
from swath.engine.stored_args import StoredArgument, StoredItems, load_arguments
from swath.engine.stored_result import StoredResult
from swath.errors import SwathError
from swath.graph.current import listening
from swath.graph.task import Task

OUTPUT_INTERVAL_S = 0.2
"""Starts and progress are told at most so often by one worker."""
BATCH_RESULT_BYTES = 4 * 2**20
"""A worker answers before its batch is done when the results in hand are as large as this."""


@dataclass(frozen=True)
class NodeContext:
    """What all calls of a node have in common."""

    run: str
    node: str
    task: Task
    kwargs: dict[str, Any]
    """With stored results still as references."""
    store: ResultStore
    mapped: bool


class Call(NamedTuple):
    """One call on its way."""

    common: NodeContext
    item: int
    key: str
    args: tuple[Any, ...]
    """With stored results still as references."""
    attempt: int = 1

    @property
    def number(self) -> int | None:
        """Of its item; None for a single call."""
        return self.item if self.common.mapped else None


class CallBatch(NamedTuple):
    """Calls of one task that travel together and are made one after the other."""

    id: int
    calls: tuple[Call, ...]
    budget_s: float
    """When so much time has passed, the calls that have not begun are given back."""

    @property
    def task(self) -> Task:
        return self.calls[0].common.task


class CallOutput(NamedTuple):
    """A line or a report that came out of a call while it ran."""

    node: str
    item: int | None
    attempt: int
    time: float
    level: str
    """A log level, or `progress`, or `started`, or `metrics`, whose text is JSON."""
    text: str = ""
    done: float | None = None
    total: float | None = None
    pixels: int = 0
    worker: str = ""


class CallOutcome(NamedTuple):
    """How a call ended. Exactly one of `result` and `error` is there."""

    seconds: float
    cpu_s: float | None = None
    result: StoredResult | None = None
    error: str = ""
    """One line: the error's class and message, or just the message of a SwathError."""
    traceback: str = ""
    retryable: bool = True
    exit_code: int = 1
    """Of the error, when it is a SwathError."""


class BatchResult(NamedTuple):
    """What came back for a batch: outcomes of its first calls, in order. The others have not been made."""

    batch: int
    worker: str
    outcomes: Sequence[CallOutcome]
    memory: int | None = None
    """Largest memory that the worker's process ever had, in bytes."""
    said: Sequence[CallOutput] = ()
    """What was said and not told yet."""
    lost: str = ""
    """Why the batch has no outcomes although it may have begun: its worker died."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Travels in plain tuples: those with names take five times as long to pickle.
        seconds, cpu_s, results, *rest = (
            zip(*self.outcomes, strict=True) if self.outcomes else [()] * len(CallOutcome._fields)
        )
        columns = (seconds, cpu_s, [result and tuple(result) for result in results], *rest)
        return (_answer, (columns, tuple(self._replace(outcomes=()))))


def _answer(columns: tuple[Sequence[Any], ...], fields: tuple[Any, ...]) -> BatchResult:
    seconds, cpu_s, results, *rest = columns
    outcomes = list(map(CallOutcome, seconds, cpu_s, [result and StoredResult(*result) for result in results], *rest))
    return BatchResult(*fields)._replace(outcomes=outcomes)


OutputListener = Callable[[CallOutput], None]


def worker_name() -> str:
    """Short name of this process, for logs."""
    return f"{os.uname().nodename}:{os.getpid()}"


def peak_memory() -> int:
    """Largest memory that this process ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def execute_batch(batch: CallBatch, say: OutputListener, worker: str) -> Iterator[CallOutcome]:
    """Make the first call, and others after it until the budget is used up. Never raises for what a task does: an error is an
    Outcome. Signals and exits pass through."""
    voice = _Voice(say, worker)
    began, size = time.perf_counter(), 0
    arguments = _Arguments()
    with voice.heard(batch.calls[0].common.run):
        spent = time.process_time()
        for number, call in enumerate(batch.calls):
            clock, before = time.perf_counter(), spent  # processor time is slow to ask for: once for each call
            if number and (clock - began > batch.budget_s or size > BATCH_RESULT_BYTES):
                return
            voice.begin(call)
            try:
                args, kwargs = arguments.of(call)
                value = call.common.task.fn(*args, **kwargs)
                stored = call.common.store.put(value)
            except Exception as error:  # noqa: BLE001 - whatever a task raises is its outcome
                spent = time.process_time()
                yield failure(error, time.perf_counter() - clock, spent - before)
            else:
                spent = time.process_time()
                size += len(stored.data or b"") + 100
                yield CallOutcome(time.perf_counter() - clock, spent - before, stored)
            finally:
                voice.end()


class _Arguments:
    """The arguments of calls, with every stored result in its place; what calls share is loaded once."""

    def __init__(self) -> None:
        self._common: NodeContext | None = None
        self._kwargs: dict[str, Any] = {}

    def of(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        common = call.common
        if common is not self._common:
            self._kwargs = load_arguments(common.kwargs, common.store)
            self._common = common
        if not common.mapped:
            return load_arguments(call.args, common.store), self._kwargs
        for arg in call.args:
            if type(arg) is StoredArgument or type(arg) is StoredItems:
                return tuple(load_arguments(arg, common.store) for arg in call.args), self._kwargs
        return call.args, self._kwargs


def failure(error: BaseException, seconds: float, cpu_s: float | None = None) -> CallOutcome:
    """The outcome of a call that raised."""
    if isinstance(error, SwathError):
        text, retryable, code = str(error), error.retryable, error.exit_code
    else:
        text, retryable, code = f"{type(error).__name__}: {error}", not isinstance(error, (TypeError, SyntaxError)), 1
    trace = "".join(traceback.format_exception(error))
    return CallOutcome(seconds, cpu_s, None, text.strip(), trace, retryable, code)


class _Voice:
    """What calls print, log, warn and report, as lines that say where they come from."""

    def __init__(self, say: OutputListener, worker: str) -> None:
        self._say = say
        self._worker = worker
        self._call: Call | None = None
        self._started = 0.0
        self._out = _Lines(lambda text: self.line("info", text))

    def begin(self, call: Call) -> None:
        self._call = call
        now = time.monotonic()
        if now - self._started >= OUTPUT_INTERVAL_S:  # of quick calls not each start is worth a message
            self._started = now
            self.line("started", "")

    def end(self) -> None:
        self._out.end_line()
        self._call = None

    def line(self, level: str, text: str, **more: Any) -> None:
        call = self._call
        if call is not None:
            node = call.common.node
            self._say(
                CallOutput(node, call.number, call.attempt, time.time(), level, text, worker=self._worker)._replace(
                    **more
                )
            )

    def report(self, done: float | None, total: float | None, pixels: int) -> None:
        self.line("progress", "", done=done, total=total, pixels=pixels)

    def metrics(self, values: Mapping[str, float]) -> None:
        self.line("metrics", json.dumps(dict(values)))

    @contextlib.contextmanager
    def heard(self, run: str) -> Iterator[None]:
        """Inside, what calls print, log and warn becomes lines."""
        root = logging.getLogger()
        handler, level = _Records(self.line), root.level
        root.addHandler(handler)
        root.setLevel(min(level or logging.WARNING, logging.INFO))
        try:
            with (
                listening(self.report, run, self.metrics),
                warnings.catch_warnings(),
                contextlib.redirect_stdout(self._out),
            ):
                warnings.simplefilter("default")
                for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                    warnings.simplefilter(
                        "ignore", kind
                    )  # as Python itself does: they are for those who write libraries
                warnings.showwarning = lambda message, category, *_rest, **_more: self.line(
                    "warning", f"{category.__name__}: {message}"
                )
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


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

    def end_line(self) -> None:
        """Hand on what is left of a line that did not end."""
        if self._rest:
            self._write_line(self._rest)
            self._rest = ""


VERBOSE_PACKAGES = frozenset(
    {
        "aiobotocore",
        "boto3",
        "botocore",
        "distributed",
        "fiona",
        "fsspec",
        "gcsfs",
        "pyogrio",
        "rasterio",
        "s3fs",
        "torch",
        "urllib3",
    }
)
"""Packages that tasks use and whose lines below a warning say nothing to who runs a pipeline."""


class _Records(logging.Handler):
    def __init__(self, say: Callable[[str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and record.name.partition(".")[0] in VERBOSE_PACKAGES:
            return
        self._say(record.levelname.lower().replace("critical", "error"), self.format(record))
