"""The part of the Dask executor that runs on workers: execution of one batch, and sending of its output to the client."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import cloudpickle

from swath.engine.batch_execution import execute_batch, peak_memory, worker_name
from swath.engine.call import BatchResult, Call, CallBatch, CallOutput, NodeContext
from swath.engine.output_capture import OUTPUT_INTERVAL_S


def pack_context(context: NodeContext) -> bytes:
    """Pickle what all calls of a node share; once for many batches."""
    data: bytes = cloudpickle.dumps(context)
    return data


def pack_calls(batch: CallBatch, contexts: list[NodeContext]) -> bytes:
    """Pickle a batch without what its calls share. `contexts` are all that occur in it."""
    number = {id(context): index for index, context in enumerate(contexts)}
    calls = [(number[id(call.context)], call.item, call.args, call.attempt) for call in batch.calls]
    data: bytes = cloudpickle.dumps((batch.id, batch.budget_s, calls))
    return data


@functools.lru_cache(maxsize=256)
def _context(data: bytes) -> NodeContext:
    context: NodeContext = cloudpickle.loads(data)
    return context


def run_batch(packed_contexts: list[bytes], data: bytes, topic: str) -> BatchResult:
    """Execute a batch on this worker. Its output goes to the client through events of the scheduler."""
    from distributed import get_worker

    worker = get_worker()
    name = f"worker-{worker.name}" if isinstance(worker.name, int) else worker_name()
    batch_id, budget_s, calls = cloudpickle.loads(data)
    contexts = [_context(packed) for packed in packed_contexts]
    batch = CallBatch(
        batch_id,
        tuple(Call(contexts[which], item, "", args, attempt) for which, item, args, attempt in calls),
        budget_s,
    )
    sender = _OutputSender(
        lambda outputs: worker.log_event(topic, {"batch": batch_id, "outputs": outputs, "address": worker.address})
    )
    outcomes = list(execute_batch(batch, sender.add, name))
    return BatchResult(batch_id, name, outcomes, peak_memory(), sender.rest())


class _OutputSender:
    """Sends output of calls: the first at once, and what follows within OUTPUT_INTERVAL_S in one message."""

    def __init__(self, send: Callable[[list[tuple[Any, ...]]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._unsent: list[tuple[Any, ...]] = []
        self._sent_at = 0.0
        self._timer: threading.Timer | None = None

    def add(self, output: CallOutput) -> None:
        with self._lock:
            if output.level == "progress" and self._unsent and self._unsent[-1][4] == "progress":
                last = CallOutput(*self._unsent.pop())  # only the newest counts, with the pixels and the ground of all
                if (last.node, last.item) == (output.node, output.item):
                    output = output._replace(
                        pixels=output.pixels + last.pixels, ground_km2=output.ground_km2 + last.ground_km2
                    )
                else:
                    self._unsent.append(tuple(last))
            self._unsent.append(tuple(output))
            wait_s = self._sent_at + OUTPUT_INTERVAL_S - time.monotonic()
            if wait_s <= 0:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(wait_s, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def _flush_later(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        if self._unsent:
            self._send(self._unsent)
            self._unsent = []
            self._sent_at = time.monotonic()

    def rest(self) -> tuple[CallOutput, ...]:
        """Output that was not sent yet; nothing is sent afterwards."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            rest, self._unsent = tuple(CallOutput(*output) for output in self._unsent), []
        return rest
