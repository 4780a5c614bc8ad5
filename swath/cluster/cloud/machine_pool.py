"""The machines of one cluster at its cloud: launched and terminated in threads, with a record of each for what it costs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from swath.cluster.cloud.console_files import MOST, ConsoleFiles
from swath.cluster.providers.contract import LaunchRequest, MachineProvider
from swath.cluster.providers.machine import Machine
from swath.cluster.steady_clock import steady_time

CONCURRENT_CALLS = 48
"""Calls of the cloud's API at the same time."""
CLOSE_STEP_S = 8.0
"""Timeout of each step of closing a cluster."""
CONSOLES_S = 5.0
"""For reading consoles before machines are terminated."""
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CreatedMachine:
    """Record of a machine, for its cost."""

    name: str
    type: str
    role: str
    spot: bool
    began: float
    """Seconds since 1970."""
    ended: float | None = None
    """Seconds since 1970; None while it runs."""
    place: str = ""
    """Its zone, as far as it is known."""


class MachinePool:
    """Belongs to the event loop of the cluster, except `created`."""

    def __init__(self, provider: MachineProvider, consoles: ConsoleFiles | None = None) -> None:
        self.provider = provider
        self._consoles = consoles or ConsoleFiles(None)
        self.fleet = provider.fleet
        self.closing = False
        """Set when the cluster closes: a machine whose launch was slow is terminated at once."""
        self._launched: dict[str, Machine] = {}
        self._running: set[str] = set()
        self._records: dict[str, CreatedMachine] = {}
        self._launches: set[asyncio.Future[Machine]] = set()
        self._threads = concurrent.futures.ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="swath-cloud")

    @property
    def created(self) -> list[CreatedMachine]:
        """Records of all machines so far. From any thread."""
        return list(self._records.values())

    def machine(self, name: str) -> Machine | None:
        """The machine that was launched under a name; None when none was, or not yet."""
        return self._launched.get(name)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a blocking call, made in a thread."""
        return await asyncio.wrap_future(self._threads.submit(function, *arguments))

    async def launch(self, request: LaunchRequest) -> Machine:
        """Launch a machine. It is recorded also when this is cancelled before the cloud has answered."""
        launch = asyncio.wrap_future(self._threads.submit(self._launch, request))
        self._launches.add(launch)

        def launched(future: asyncio.Future[Machine]) -> None:
            self._launches.discard(future)
            if not future.cancelled() and future.exception() is None:
                machine = future.result()
                self._launched[request.name] = machine
                self._running.add(request.name)
                self._records[request.name] = CreatedMachine(
                    request.name,
                    machine.type or request.type,
                    request.role,
                    machine.spot,
                    steady_time(),
                    place=machine.zone or machine.place,
                )

        launch.add_done_callback(launched)
        return await asyncio.shield(launch)

    def _launch(self, request: LaunchRequest) -> Machine:
        """In a thread, which this process waits for, so that no machine of a slow request outlives a closed cluster."""
        machine = self.provider.launch(request)
        if self.closing:
            self.fleet.terminate([machine])
        return machine

    async def terminate(self, name: str) -> None:
        """Terminate a machine. Its record ends also when the cloud refuses: it is terminated with all others later."""
        if name not in self._running:
            return
        await self._save_consoles([name])
        try:
            await self.call(self.fleet.terminate, [self._launched[name]])
        finally:
            self._end(name)

    async def close(self) -> None:
        """Terminate all machines that run, in bounded time. What is left is terminated by its label afterwards."""
        self.closing = True
        if self._launches:  # a launch request cannot be withdrawn: wait for its machine
            await asyncio.wait(set(self._launches), timeout=CLOSE_STEP_S)
        names = list(self._running)
        await self._save_consoles(names[:MOST])
        await in_time(
            self.call(self.fleet.terminate, [self._launched[name] for name in names]), "terminating the machines"
        )
        for name in names:
            self._end(name)

    async def _save_consoles(self, names: Sequence[str]) -> None:
        if self._consoles.folder is not None and names:
            saves = [self.call(self._consoles.save, self.fleet, self._launched[name]) for name in names]
            await in_time(asyncio.wait_for(asyncio.gather(*saves), CONSOLES_S), "reading consoles")

    def shut_down(self) -> None:
        """Start no further call."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, name: str) -> None:
        if name in self._running:
            self._running.remove(name)
            self._records[name] = dataclasses.replace(self._records[name], ended=steady_time())


async def in_time(step: Coroutine[Any, Any, Any], what: str) -> None:
    """A step of closing, within its timeout. Its errors are logged only, so that the next step is done."""
    try:
        await asyncio.wait_for(step, CLOSE_STEP_S)
    except Exception as error:  # noqa: BLE001 - a library's close may fail in any way
        log.info("%s: %s: %s", what, type(error).__name__, error)
