"""Where a network runs, in batches of which size, and how busy it keeps its device.

On the GPU results differ from those on the CPU in the last bits, and may differ between batch sizes, as its libraries choose their
algorithms by size. So the device is part of a ModelInfo, hence of the key of every call and of the report; nothing that was
computed on one is taken for what the other would give; and the promise that a map does not depend on how it is cut holds to
the last bit on the CPU only.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from swath.models.load import Predictor

Device = Literal["cpu", "cuda"]

GAIN = 1.05
"""How many times as fast a batch of twice the size must be, for a pixel, to be worth its memory."""
LIMIT = 64
"""Images in the largest batch that is tried."""


def chosen(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """The device that `wanted` means on this machine: `auto` is the GPU where CUDA has one. Imports torch only where there is a
    driver."""
    if wanted != "auto":
        return wanted
    if not _driver():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


class DeviceUsage:
    """How long a device computed, and which share of the time since its first call that is."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._began: float | None = None
        self._seconds = 0.0
        self._waiting: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self) -> Callable[[], None]:
        """A call begins; the result is to be called when all its work is handed to the device."""
        start = time.perf_counter()
        if self._began is None:
            self._began = start
        if self._device == "cpu":

            def end() -> None:
                self._seconds += time.perf_counter() - start

            return end
        import torch

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()

        def record() -> None:
            last.record()
            self._waiting.append((first, last))

        return record

    @property
    def seconds(self) -> float:
        for first, last in self._waiting:
            last.synchronize()
            self._seconds += first.elapsed_time(last) / 1000
        self._waiting.clear()
        return self._seconds

    @property
    def share(self) -> float:
        """0 to 1; 0 before the first call."""
        if self._began is None:
            return 0.0
        return min(1.0, self.seconds / max(time.perf_counter() - self._began, 1e-9))


class Batches:
    """Runs many images through a network in batches, whose size is found by doubling it until a pixel gets no cheaper or
    memory is short."""

    def __init__(
        self, predictor: Predictor, limit: int = LIMIT, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._predictor = predictor
        self._limit = limit
        self._clock = clock
        self._settled = limit <= 1
        self._best = 0.0
        self._warm = False
        self.size = 1
        """Images in a batch, as found so far."""

    def __call__(self, images: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Images (bands, H, W) to what the network says of each, in order. Images of one size that follow each other go
        together. Raises MemoryError when one image alone is too much, and what the network raises."""
        waiting: list[NDArray[np.float32]] = []
        for image in images:
            if waiting and waiting[0].shape != image.shape:
                yield from self._run(waiting)
                waiting = []
            waiting.append(image)
            if len(waiting) >= self.size:
                yield from self._run(waiting)
                waiting = []
        yield from self._run(waiting)

    def _run(self, images: list[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        while images:
            batch, images = images[: self.size], images[self.size :]
            # Pixel by pixel in memory, as a network takes it without another copy.
            stacked = np.stack([image.transpose(1, 2, 0) for image in batch]).transpose(0, 3, 1, 2)
            began = self._clock()
            try:
                given = self._predictor(stacked)
            except MemoryError:
                if len(batch) == 1:
                    raise
                self.size, self._settled = max(1, len(batch) // 2), True
                images = batch + images
                continue
            self._learn(stacked, self._clock() - began)
            yield from given

    def _learn(self, batch: NDArray[np.float32], seconds: float) -> None:
        if self._settled or len(batch) < self.size:
            return
        if not self._warm:  # the first of a size also chooses algorithms and takes memory
            self._warm = True
            return
        speed = batch.size / max(seconds, 1e-9)
        if speed < self._best * GAIN:
            self.size, self._settled = max(1, self.size // 2), True
        elif self.size * 2 > self._limit:
            self._settled = True
        else:
            self._best, self._warm = speed, False
            self.size *= 2
