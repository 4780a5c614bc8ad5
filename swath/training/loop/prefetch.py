"""Batches made ahead of the network, in a thread of their own: reading and decoding go on while the network computes."""

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
"""So many batches wait at most."""
_PATIENCE_S = 0.1


class NetworkBatch(NamedTuple):
    """A batch as the network takes it."""

    pixels: NDArray[np.float32]
    """(N, bands, H, W), scaled, 0 where there is no valid pixel."""
    labels: NDArray[np.uint8]
    """(N, H, W), IGNORE_INDEX where there is no label."""


class BatchFeed:
    """The batches of each epoch, in order, from the step on that the training has reached to the epoch's end. Which batch a step gets
    depends on its number alone, so a training that goes on sees what it would have seen."""

    def __init__(self, batch: Callable[[int], NetworkBatch], length: int, reached: Callable[[], int]) -> None:
        """`batch` gives that of a step (from 0 on); an epoch has `length` of them; `reached` tells how many steps were made."""
        self._batch = batch
        self._length = length
        self._reached = reached
        self.waited_s = 0.0
        """How long the training waited for batches, all in all."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = self._reached()
        stop = (first // self._length + 1) * self._length
        ready: queue.Queue[NetworkBatch | BaseException] = queue.Queue(QUEUED_BATCHES)
        stopped = threading.Event()

        def put(item: NetworkBatch | BaseException) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=_PATIENCE_S)
                except queue.Full:
                    continue
                return True
            return False

        def make() -> None:
            try:
                for step in range(first, stop):
                    if not put(self._batch(step)):
                        return
            except BaseException as error:  # noqa: BLE001 -- raised again where the batch is waited for
                put(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(make,), daemon=True, name="swath-feed")
        thread.start()
        try:
            for _ in range(first, stop):
                began = time.perf_counter()
                item = ready.get()
                self.waited_s += time.perf_counter() - began
                if isinstance(item, BaseException):
                    raise item
                yield to_tensors(item)
        finally:
            stopped.set()
            thread.join()


def to_tensors(images: NetworkBatch) -> tuple[Tensor, Tensor]:
    """The same as tensors that share its memory where they can."""
    return torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
