"""The execution of a batch in a worker's process, or in the client's: `execute_batch` is all that a worker runs."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from swath.engine.call import Call, CallBatch, CallOutcome, NodeContext, OutputListener, failed_outcome
from swath.engine.output_capture import OutputCapture
from swath.engine.stored_args import StoredArgument, StoredItems, load_arguments

BATCH_RESULT_BYTES = 4 * 2**20
"""A batch ends early when the results that travel with it are as large as this."""


def worker_name() -> str:
    """Short name of this process, for logs."""
    return f"{os.uname().nodename}:{os.getpid()}"


def peak_memory() -> int:
    """Largest memory that this process ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def execute_batch(batch: CallBatch, on_output: OutputListener, worker: str) -> Iterator[CallOutcome]:
    """Execute the first call, and others after it until the budget is used up. An error that a task raises is an outcome;
    signals and exits pass through."""
    output = OutputCapture(on_output, worker)
    began, size = time.perf_counter(), 0
    arguments = _Arguments()
    with output.active(batch.calls[0].context.run):
        spent = time.process_time()
        for number, call in enumerate(batch.calls):
            clock, before = time.perf_counter(), spent  # processor time is slow to ask for: once for each call
            if number and (clock - began > batch.budget_s or size > BATCH_RESULT_BYTES):
                return
            output.begin(call)
            try:
                args, kwargs = arguments.of(call)
                value = call.context.task.fn(*args, **kwargs)
                stored = call.context.store.put(value)
            except Exception as error:  # noqa: BLE001 - whatever a task raises is its outcome
                spent = time.process_time()
                yield failed_outcome(error, time.perf_counter() - clock, spent - before)
            else:
                spent = time.process_time()
                size += len(stored.data or b"") + 100
                yield CallOutcome(time.perf_counter() - clock, spent - before, stored)
            finally:
                output.end()


class _Arguments:
    """Loads the arguments of calls; those that calls share are loaded once."""

    def __init__(self) -> None:
        self._context: NodeContext | None = None
        self._kwargs: dict[str, Any] = {}

    def of(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        context = call.context
        if context is not self._context:
            self._kwargs = load_arguments(context.kwargs, context.store)
            self._context = context
        if not context.mapped:
            return load_arguments(call.args, context.store), self._kwargs
        for arg in call.args:
            if type(arg) is StoredArgument or type(arg) is StoredItems:
                return tuple(load_arguments(arg, context.store) for arg in call.args), self._kwargs
        return call.args, self._kwargs
