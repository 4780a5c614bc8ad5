"""Device: where a network runs (CPU or GPU), and how much of the time it computes there.

On the GPU results differ from those on the CPU in the last bits, and may differ between batch sizes, as its libraries choose their
algorithms by size. So the device is part of a ModelInfo, hence of the key of every call and of the report: a result of one is never
reused for the other. That a map does not depend on how it is cut holds to the last bit on the CPU only.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda"]


def resolve_device(requested: Literal["auto", "cpu", "cuda"], *, driver: bool | None = None) -> Device:
    """The device that a spec's value means on this machine: `auto` is the GPU where CUDA has one. `driver` says whether there is a
    CUDA driver, and is looked up when not given. Imports torch only where there is one."""
    if requested != "auto":
        return requested
    if not (has_cuda_driver() if driver is None else driver):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def has_cuda_driver() -> bool:
    """Whether the library of the CUDA driver can be loaded."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


class DeviceUsage:
    """Measures how long a device computes, and which share of the time since the first call that is."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._began: float | None = None
        self._seconds = 0.0
        self._pending: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self) -> Callable[[], None]:
        """Called when a call begins. The result is to be called when all its work is queued on the device."""
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
            self._pending.append((first, last))

        return record

    @property
    def seconds(self) -> float:
        """Seconds of computing so far; waits for the calls that still run."""
        for first, last in self._pending:
            last.synchronize()
            self._seconds += first.elapsed_time(last) / 1000
        self._pending.clear()
        return self._seconds

    @property
    def share(self) -> float:
        """Share of the time since the first call, 0 to 1; 0 before it."""
        if self._began is None:
            return 0.0
        return min(1.0, self.seconds / max(time.perf_counter() - self._began, 1e-9))
