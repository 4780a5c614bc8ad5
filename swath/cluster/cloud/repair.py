"""Looks after the machines of a cluster: has lost ones replaced, and tells when there is no point in asking for more."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from distributed.core import Status

from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.machine import cloud_init
from swath.errors import CredentialsError, InfrastructureError, SwathError

if TYPE_CHECKING:
    from swath.cluster.cloud.vm_cluster import VmCluster

LOOK_EVERY_S = 5.0
SETTLE_S = 15.0
"""A machine that was just made may not be listed yet."""
SILENT_S = 30.0
"""A machine whose processes have all gone for so long is replaced."""
TRIES = 3
"""Failures in a row after which no machine can be had: the run ends when there is none."""
MOST_TRIES = 10
"""Failures in a row after which no machine is asked for any more: the run goes on with those that there are."""
LONGEST_PAUSE_S = 60.0
log = logging.getLogger(__name__)


class ClusterRepair:
    """Of one cluster; belongs to its event loop."""

    def __init__(self, cluster: VmCluster) -> None:
        self._cluster = cluster
        self.trouble: SwathError | None = None
        """What went wrong last."""
        self.fault: SwathError | None = None
        """Why no machine will come any more."""
        self._failures, self._failed_at = 0, 0.0
        self._unlisted: set[str] = set()

    @property
    def hopeless(self) -> SwathError | None:
        """What keeps machines from coming, when that can be said."""
        return self.fault or (self.trouble if self._failures >= TRIES else None)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next machine is asked for."""
        return min(LONGEST_PAUSE_S, self._settle * 2.0**self._failures) if self._failures else 0.0

    def works(self) -> None:
        """A machine has come up."""
        self._failures = 0

    @property
    def _settle(self) -> float:
        """1, or less in a cloud that is simulated."""
        return self._cluster.pace_s / LOOK_EVERY_S

    def replace(self, process: VmProcess, why: SwathError) -> None:
        """End a machine that did not come up or is lost, and have another one in its place."""
        log.warning("%s", why.message)
        self.trouble = why
        if not process.seen and process.began >= self._failed_at:  # machines that fail together are one failure
            self._failures, self._failed_at = self._failures + 1, time.monotonic()
        planned = self._cluster.worker_spec.pop(process.name, None) is not None
        self._cluster.workers.pop(process.name, None)
        self._cluster.do(process.close())
        if isinstance(why, CredentialsError) or (self._failures >= TRIES and not self._cluster.observed):
            self.fault = why
        elif planned and self._failures < MOST_TRIES and not self._cluster.cut_off:
            self._cluster.another()

    async def keep(self) -> None:
        """Look after the machines, as long as the cluster is up."""
        while self._cluster.status == Status.running and self.fault is None:
            await asyncio.sleep(self._cluster.pace_s)
            try:
                listed = {
                    machine.id
                    for machine in await self._cluster.call(self._cluster.fleet.machines, self._cluster.label)
                }
            except SwathError as error:  # the API may not answer for a while
                log.info("machines are not listed: %s", error.message)
                continue
            if self._gone(self._cluster.scheduler, listed) or self._cluster.cut_off:
                self.fault = InfrastructureError(
                    f"the scheduler, on {self._cluster.scheduler.name}, is lost",
                    remedy="`pipe resume` takes the run up again",
                )
                return
            for process in list(self._cluster.workers.values()):
                await self._look_after(process, listed)

    async def _look_after(self, process: VmProcess, listed: set[str]) -> None:
        if process.machine is None or process.status != Status.running:
            return
        now = time.monotonic()
        if self._cluster.processes_of(process.name):
            process.silent_since = None
        elif process.seen and process.silent_since is None:
            process.silent_since = now
        if self._gone(process, listed):
            lost = "was taken back by the cloud" if process.seen else "has ended while it came up"
        elif process.silent_since is not None and now - process.silent_since > SILENT_S * self._settle:
            lost = "has no worker process any more"
        elif not process.seen and now - process.began > self._cluster.spec.start_timeout_s:
            lost = f"had no worker process after {self._cluster.spec.start_timeout_s:g} s"
        elif not process.seen and not self._cluster.maker.powers_off and cloud_init.ENDED in await process.console():
            lost = "boots, but its container has ended"
        else:
            return
        self.replace(process, await process.trouble(lost))

    def _gone(self, process: VmProcess, listed: set[str]) -> bool:
        """Whether it was not listed twice in a row, some time after it was made."""
        machine = process.machine
        if machine is None or machine.id in listed or time.monotonic() - process.began < SETTLE_S * self._settle:
            self._unlisted.discard(process.name)
            return False
        twice = process.name in self._unlisted
        self._unlisted.add(process.name)
        return twice
