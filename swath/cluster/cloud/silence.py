"""Machines that are up for the cloud, but whose processes answer nobody: stopped, or out of memory."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol


class AskedScheduler(Protocol):
    """What is asked of a scheduler about its workers."""

    async def identity(self, *, n_workers: int) -> Mapping[str, Any]:
        """Its workers, with the time of their last heartbeat."""
        ...

    async def broadcast(self, **message: Any) -> Mapping[str, Any]:
        """The answers of workers, or of their nannies."""
        ...


class SilentWorkers:
    """Finds the names of worker processes that do not answer. Belongs to the event loop of the cluster.

    A worker without a heartbeat may be in a long call that holds the interpreter. Its nanny, a process of its own, answers then; and
    the nanny's process kills a worker that is stopped (swath.cluster.workers.stopped_processes). So the nanny is what is asked.
    """

    def __init__(self, silent_s: float, answer_s: float) -> None:
        """silent_s: without a heartbeat for so long, a worker's nanny is asked; it has to answer within answer_s."""
        self._silent_s = silent_s
        self._answer_s = answer_s
        self._looked = -math.inf
        self._heartbeats: dict[str, tuple[float, float]] = {}
        """Address -> (heartbeat by the scheduler's clock, when it was first seen by the monotonic clock)."""

    async def find(self, scheduler: AskedScheduler) -> list[str]:
        """Names of those that do not answer; empty when the last look was a short time ago. Raises OSError and TimeoutError when the
        scheduler does not answer."""
        if time.monotonic() - self._looked < self._silent_s / 4:
            return []
        self._looked = time.monotonic()
        found = await asyncio.wait_for(scheduler.identity(n_workers=-1), self._answer_s)
        now = time.monotonic()
        workers: Mapping[str, Any] = found["workers"]
        self._heartbeats = {
            address: before
            if (before := self._heartbeats.get(address)) and before[0] == worker["last_seen"]
            else (worker["last_seen"], now)
            for address, worker in workers.items()
        }
        silent = [address for address, (_, since) in self._heartbeats.items() if now - since > self._silent_s]
        answers = await asyncio.gather(*(self._answers(scheduler, address) for address in silent))
        return [workers[address]["name"] for address, there in zip(silent, answers, strict=True) if not there]

    async def _answers(self, scheduler: AskedScheduler, address: str) -> bool:
        asked = scheduler.broadcast(msg={"op": "identity"}, workers=[address], nanny=True, on_error="ignore")
        try:
            return bool(await asyncio.wait_for(asked, self._answer_s))
        except TimeoutError:
            return False
