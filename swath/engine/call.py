"""Calls as they travel to an executor, and what comes back: batches, output while they run, outcomes and results."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from swath.engine.store import ResultStore
from swath.engine.stored_result import DamagedResult, StoreDenied, StoredResult
from swath.errors import SwathError
from swath.graph.task import Task


@dataclass(frozen=True)
class NodeContext:
    """What all calls of a node share."""

    run: str
    node: str
    task: Task
    kwargs: dict[str, Any]
    """With references in the place of stored results."""
    store: ResultStore
    mapped: bool


class Call(NamedTuple):
    """One execution of a task."""

    context: NodeContext
    item: int
    """0 for a single call."""
    key: str
    args: tuple[Any, ...]
    """With references in the place of stored results."""
    attempt: int = 1

    @property
    def mapped_item(self) -> int | None:
        """The item; None for a single call."""
        return self.item if self.context.mapped else None


class CallBatch(NamedTuple):
    """Calls of one task that travel together and run one after the other."""

    id: int
    calls: tuple[Call, ...]
    budget_s: float
    """After so much time, the calls that have not begun are given back."""

    @property
    def task(self) -> Task:
        return self.calls[0].context.task


LEFT_OUT = "left out"
"""Level of a CallOutput that names a part of its input which a call left out."""


class CallOutput(NamedTuple):
    """A line or a report that came out of a call while it ran."""

    node: str
    item: int | None
    attempt: int
    time: float
    """Seconds since the epoch."""
    level: str
    """A log level, or `progress`, `started`, LEFT_OUT, or `metrics`, whose text is JSON."""
    text: str = ""
    done: float | None = None
    total: float | None = None
    pixels: int = 0
    worker: str = ""
    ground_km2: float = 0.0


OutputListener = Callable[[CallOutput], None]


class CallOutcome(NamedTuple):
    """How a call ended. Exactly one of `result` and `error` is set."""

    seconds: float
    cpu_s: float | None = None
    """Processor time of the worker's process meanwhile."""
    result: StoredResult | None = None
    error: str = ""
    """One line: the error's class and message, or just the message of a SwathError."""
    traceback: str = ""
    retryable: bool = True
    exit_code: int = 1
    """Of the error, when it is a SwathError."""
    damaged: bool = False
    """The call could not read one of its arguments, a stored result: that has to be computed again."""
    store_denied: bool = False
    """The result store may not be read or written: no other call would succeed."""


def failed_outcome(error: BaseException, seconds: float, cpu_s: float | None = None) -> CallOutcome:
    """The outcome of a call that raised."""
    if isinstance(error, SwathError):
        text, retryable, code = str(error), error.retryable, error.exit_code
    else:
        text, retryable, code = f"{type(error).__name__}: {error}", not isinstance(error, (TypeError, SyntaxError)), 1
    trace = "".join(traceback.format_exception(error))
    chain = list(_chain(error))
    damaged = any(isinstance(one, DamagedResult) for one in chain)
    denied = any(isinstance(one, StoreDenied) for one in chain)
    return CallOutcome(seconds, cpu_s, None, text.strip(), trace, retryable, code, damaged, denied)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it followed, such as the one that a task caught before it raised its own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class BatchResult(NamedTuple):
    """The outcomes of a batch's first calls, in order. The other calls have not run."""

    batch: int
    """Id of the batch."""
    worker: str
    outcomes: Sequence[CallOutcome]
    memory: int | None = None
    """Largest memory that the worker's process ever had, in bytes."""
    outputs: Sequence[CallOutput] = ()
    """Output that was not sent while the calls ran."""
    lost: str = ""
    """Why there are no outcomes although calls may have begun: the worker died."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled in columns of plain tuples: named ones take five times as long.
        seconds, cpu_s, results, *rest = (
            zip(*self.outcomes, strict=True) if self.outcomes else [()] * len(CallOutcome._fields)
        )
        columns = (seconds, cpu_s, [result and tuple(result) for result in results], *rest)
        return (_batch_result, (columns, tuple(self._replace(outcomes=()))))


def _batch_result(columns: tuple[Sequence[Any], ...], fields: tuple[Any, ...]) -> BatchResult:
    seconds, cpu_s, results, *rest = columns
    stored = [result and StoredResult(*result) for result in results]
    return BatchResult(*fields)._replace(outcomes=list(map(CallOutcome, seconds, cpu_s, stored, *rest)))
