"""What a Dask worker runs: one batch of calls, and how what they say gets to the client."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

import cloudpickle

from swath.engine.call import (
    OUTPUT_INTERVAL_S,
    BatchResult,
    Call,
    CallBatch,
    CallOutput,
    NodeContext,
    execute_batch,
    peak_memory,
    worker_name,
)


def pack_context(common: NodeContext) -> bytes:
    """What all calls of a node share, for the way to workers; made once for many batches."""
    data: bytes = cloudpickle.dumps(common)
    return data


def pack_calls(batch: CallBatch, commons: list[NodeContext]) -> bytes:
    """A batch without what its calls share. `commons` are all that occur in it."""
    number = {id(common): index for index, common in enumerate(commons)}
    calls = [(number[id(call.common)], call.item, call.args, call.attempt) for call in batch.calls]
    data: bytes = cloudpickle.dumps((batch.id, batch.budget_s, calls))
    return data


@functools.lru_cache(maxsize=256)
def _common(data: bytes) -> NodeContext:
    common: NodeContext = cloudpickle.loads(data)
    return common


def run_batch(commons: list[bytes], data: bytes, topic: str) -> BatchResult:
    """Make the calls. What they say goes to the client through the scheduler's event log."""
    from distributed import get_worker

    worker = get_worker()
    name = f"worker-{worker.name}" if isinstance(worker.name, int) else worker_name()
    identity, budget_s, calls = cloudpickle.loads(data)
    shared = [_common(common) for common in commons]
    batch = CallBatch(
        identity, tuple(Call(shared[which], item, "", args, attempt) for which, item, args, attempt in calls), budget_s
    )
    mouth = _Mouth(lambda said: worker.log_event(topic, {"batch": identity, "said": said, "address": worker.address}))
    outcomes = list(execute_batch(batch, mouth.say, name))
    return BatchResult(identity, name, outcomes, peak_memory(), mouth.rest())


class _Mouth:
    """Sends what calls say: the first at once, and what follows soon together with others."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._held: list[tuple[Any, ...]] = []
        self._sent = 0.0
        self._timer: threading.Timer | None = None

    def say(self, said: CallOutput) -> None:
        with self._lock:
            if said.level == "progress" and self._held and self._held[-1][4] == "progress":
                last = CallOutput(*self._held.pop())  # only the newest counts, with the pixels of all
                same = (last.node, last.item) == (said.node, said.item)
                if same:
                    said = said._replace(pixels=said.pixels + last.pixels)
                else:
                    self._held.append(tuple(last))
            self._held.append(tuple(said))
            wait = self._sent + OUTPUT_INTERVAL_S - time.monotonic()
            if wait <= 0:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._late)
                self._timer.daemon = True
                self._timer.start()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._send(self._held)
            self._held = []
            self._sent = time.monotonic()

    def rest(self) -> tuple[CallOutput, ...]:
        """What was not sent yet; nothing is sent afterwards."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            rest, self._held = tuple(CallOutput(*said) for said in self._held), []
        return rest
