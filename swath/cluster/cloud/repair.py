"""Repair of a cluster of machines: lost machines are replaced, until it is clear that no more can be had."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from distributed.core import Status

from swath.cluster.cloud.host import ClusterHost
from swath.cluster.cloud.process_register import machine_of
from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.machine import cloud_init
from swath.errors import CredentialsError, InfrastructureError, SwathError

log = logging.getLogger(__name__)


class RepairedCluster(ClusterHost, Protocol):
    """A cluster with the processes that are repaired."""

    scheduler: VmProcess
    workers: dict[str, VmProcess]
    """Worker machines by name."""


class ClusterRepair:
    """Repairs one cluster. Belongs to its event loop."""

    def __init__(self, cluster: RepairedCluster) -> None:
        self._cluster = cluster
        self._limits = cluster.limits
        self.last_error: SwathError | None = None
        """Of the machine that failed last."""
        self.fatal: SwathError | None = None
        """Why no machine is launched any more."""
        self._failures, self._failed_at = 0, 0.0
        self._unlisted: set[str] = set()

    @property
    def reason(self) -> SwathError | None:
        """Why machines do not come up, once it is likely that no further one will; None before."""
        failed = self._failures >= self._limits.failures and not self._coming_up
        return self.fatal or (self.last_error if failed else None)

    @property
    def _coming_up(self) -> bool:
        """Whether a machine was launched and may still come up."""
        return any(each.machine is not None and not each.registered for each in self._cluster.workers.values())

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next launch."""
        if not self._failures:
            return 0.0
        return min(self._limits.max_pause_s, self._limits.pause_s * 2.0**self._failures)

    def reset_failures(self) -> None:
        """Note that a machine has come up."""
        self._failures = 0

    def replace(self, process: VmProcess, error: SwathError) -> None:
        """Terminate a machine that did not come up or is lost, and plan another one."""
        log.warning("%s", error.message)
        self.last_error = error
        if not process.registered and process.began >= self._failed_at:  # machines that fail together are one failure
            self._failures, self._failed_at = self._failures + 1, time.monotonic()
        planned = self._cluster.worker_spec.pop(process.name, None) is not None
        self._cluster.workers.pop(process.name, None)
        self._cluster.run_in_background(process.close())
        exhausted = self._failures >= self._limits.failures and not self._cluster.observed and not self._coming_up
        if isinstance(error, CredentialsError) or exhausted:
            self.fatal = error
        elif planned and self._failures < self._limits.max_failures and not self._cluster.scheduler_lost:
            self._cluster.add_machine()

    async def watch(self) -> None:
        """Watch the machines as long as the cluster is up."""
        machines = self._cluster.machines
        while self._cluster.status == Status.running and self.fatal is None:
            await asyncio.sleep(self._limits.poll_s)
            try:
                listed = {machine.id for machine in await machines.call(machines.fleet.machines, self._cluster.label)}
            except SwathError as error:  # the API may not answer for a while
                log.info("machines are not listed: %s", error.message)
                continue
            if self._gone(self._cluster.scheduler, listed) or self._cluster.scheduler_lost:
                self.fatal = InfrastructureError(
                    f"the scheduler, on {self._cluster.scheduler.name}, is lost",
                    remedy="`pipe resume` takes the run up again",
                )
                return
            silent = await self._silent_machines()
            for process in list(self._cluster.workers.values()):
                await self._check(process, listed, silent)

    async def _silent_machines(self) -> set[str]:
        """Names of machines that do not answer."""
        try:
            return {machine_of(each) for each in await self._cluster.silent_processes()}
        except (OSError, TimeoutError) as error:  # the connection may be cut for a while
            log.info("the scheduler does not answer: %s", error)
            return set()

    async def _check(self, process: VmProcess, listed: set[str], silent: set[str]) -> None:
        """Replace a worker machine that is lost. `listed` has the ids of the machines that the cloud lists, `silent` the names of
        those that do not answer."""
        if process.machine is None or process.status != Status.running:
            return
        now, boot_s = time.monotonic(), min(self._cluster.spec.start_timeout_s, self._limits.boot_s)
        if self._cluster.processes_of(process.name):
            process.silent_since = None
        elif process.registered and process.silent_since is None:
            process.silent_since = now
        if self._gone(process, listed):
            what = "was taken back by the cloud" if process.registered else "has ended while it came up"
        elif process.silent_since is not None and now - process.silent_since > self._limits.silent_s:
            what = "has no worker process any more"
        elif process.name in silent:
            what = f"has not answered for {self._limits.unanswered_s:g} s"
        elif not process.registered and now - process.began > boot_s:
            what = f"had no worker process after {boot_s:g} s"
        elif await self._container_ended(process):
            what = "boots, but its container has ended"
        else:
            return
        self.replace(process, await process.failure(what))

    async def _container_ended(self, process: VmProcess) -> bool:
        """Whether the container of a machine that is coming up has ended. Where that powers off the machine for good, the listing
        shows it."""
        if process.registered or self._cluster.machines.provider.power_off_terminates:
            return False
        return cloud_init.CONTAINER_ENDED in await process.console()

    def _gone(self, process: VmProcess, listed: set[str]) -> bool:
        """Whether it was missing in two listings in a row, some time after its launch."""
        machine = process.machine
        if machine is None or machine.id in listed or time.monotonic() - process.began < self._limits.unlisted_s:
            self._unlisted.discard(process.name)
            return False
        before = process.name in self._unlisted
        self._unlisted.add(process.name)
        return before
