"""BatchRunner: many images through a network on a GPU, in batches whose size is found while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from swath.models.predictor import Predictor

MIN_SPEEDUP = 1.05
"""Speed, in pixels per second, that a batch of twice the size must bring at least."""
MAX_BATCH = 64
"""Images in the largest batch that is tried."""


class BatchRunner:
    """Runs images through a network in batches. The batch size is doubled until it brings no more speed, or memory is short."""

    def __init__(
        self, predictor: Predictor, max_size: int = MAX_BATCH, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._predictor = predictor
        self._max_size = max_size
        self._clock = clock
        self._settled = max_size <= 1
        self._best_speed = 0.0
        self._warm = False
        self.size = 1
        """Images in a batch, as found so far."""

    def __call__(self, images: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The network's output (channels, H, W) for each image (bands, H, W), in order. Consecutive images of one size share a
        batch. Raises MemoryError when one image alone needs too much memory, and what the network raises."""
        pending: list[NDArray[np.float32]] = []
        for image in images:
            if pending and pending[0].shape != image.shape:
                yield from self._run(pending)
                pending = []
            pending.append(image)
            if len(pending) >= self.size:
                yield from self._run(pending)
                pending = []
        yield from self._run(pending)

    def _run(self, images: list[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        while images:
            batch, images = images[: self.size], images[self.size :]
            # Channels last in memory, which the network takes without another copy.
            stacked = np.stack([image.transpose(1, 2, 0) for image in batch]).transpose(0, 3, 1, 2)
            began = self._clock()
            try:
                output = self._predictor(stacked)
            except MemoryError:
                if len(batch) == 1:
                    raise
                self.size, self._settled = max(1, len(batch) // 2), True
                images = batch + images
                continue
            self._adjust(stacked, self._clock() - began)
            yield from output

    def _adjust(self, batch: NDArray[np.float32], seconds: float) -> None:
        if self._settled or len(batch) < self.size:
            return
        if not self._warm:  # the first of a size also selects algorithms and allocates memory
            self._warm = True
            return
        speed = batch.size / max(seconds, 1e-9)
        if speed < self._best_speed * MIN_SPEEDUP:
            self.size, self._settled = max(1, self.size // 2), True
        elif self.size * 2 > self._max_size:
            self._settled = True
        else:
            self._best_speed, self._warm = speed, False
            self.size *= 2
