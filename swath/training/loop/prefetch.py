"""BatchFeed: batches read and decoded in a thread of their own, ahead of the step that the network computes."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

QUEUED_BATCHES = 4
"""At most so many batches are read ahead."""
_POLL_S = 0.1


class NetworkBatch(NamedTuple):
    """A batch as the network takes it."""

    pixels: NDArray[np.float32]
    """(N, bands, H, W), scaled, 0 where there is no valid pixel."""
    labels: NDArray[np.uint8]
    """(N, H, W), IGNORE_INDEX where there is no label."""


class BatchFeed:
    """Iterates over the batches of an epoch in order, from the step that the training has reached to the epoch's end. The batch of
    a step depends on its number alone, so a resumed training gets the batches that it would have had."""

    def __init__(
        self,
        batch: Callable[[int], NetworkBatch],
        length: int,
        current_step: Callable[[], int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`batch` gives the batch of a step (from 0 on); `length` is the number of steps of an epoch; `current_step` gives the
        number of steps so far."""
        self._batch = batch
        self._length = length
        self._current_step = current_step
        self._clock = clock
        self.waited_s = 0.0
        """Total time in which the training waited for a batch."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = self._current_step()
        stop = (first // self._length + 1) * self._length
        ready: queue.Queue[NetworkBatch | BaseException] = queue.Queue(QUEUED_BATCHES)
        stopped = threading.Event()

        def put(item: NetworkBatch | BaseException) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=_POLL_S)
                except queue.Full:
                    continue
                return True
            return False

        def read() -> None:
            try:
                for step in range(first, stop):
                    if not put(self._batch(step)):
                        return
            except BaseException as error:  # noqa: BLE001 -- raised again where the batch is taken
                put(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(read,), daemon=True, name="swath-feed")
        thread.start()
        try:
            for _ in range(first, stop):
                began = self._clock()
                item = ready.get()
                self.waited_s += self._clock() - began
                if isinstance(item, BaseException):
                    raise item
                yield to_tensors(item)
        finally:
            stopped.set()
            thread.join()


def to_tensors(batch: NetworkBatch) -> tuple[Tensor, Tensor]:
    """Pixels and labels as tensors that share the arrays' memory."""
    return torch.from_numpy(batch.pixels), torch.from_numpy(batch.labels)
