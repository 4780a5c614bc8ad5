from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from swath.cluster.cloud.silence import SilentWorkers


class Scheduler:
    """Two workers, of which the first has had no heartbeat since the beginning."""

    def __init__(self) -> None:
        self.beats = 0
        self.nannies = {"tls://a": True, "tls://b": True}
        self.asked: list[str] = []

    async def identity(self, *, n_workers: int) -> Mapping[str, Any]:
        self.beats += 1
        return {
            "workers": {
                "tls://a": {"name": "m-1-0", "last_seen": 1000.0},
                "tls://b": {"name": "m-2-0", "last_seen": 1000.0 + self.beats},
            }
        }

    async def broadcast(self, **message: Any) -> Mapping[str, Any]:
        (address,) = message["workers"]
        assert message["nanny"]
        self.asked.append(address)
        if not self.nannies[address]:
            await asyncio.sleep(60)
        return {address: {}}


def test_only_a_worker_without_heartbeat_whose_nanny_does_not_answer_is_silent() -> None:
    async def use() -> None:
        scheduler, workers = Scheduler(), SilentWorkers(silent_s=0.2, answer_s=0.1)
        assert await workers.find(scheduler) == []
        assert await workers.find(scheduler) == []
        assert scheduler.beats == 1, "it is not asked at each look"
        await asyncio.sleep(0.3)
        assert await workers.find(scheduler) == []  # a long call: its nanny answers
        assert scheduler.asked == ["tls://a"]
        scheduler.nannies["tls://a"] = False
        await asyncio.sleep(0.1)
        assert await workers.find(scheduler) == ["m-1-0"]

    asyncio.run(use())
