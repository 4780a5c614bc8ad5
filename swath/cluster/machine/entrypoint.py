"""Entry point of the container on a machine: the scheduler, or the machine's worker processes. It ends when its client is gone.

    python -m swath.cluster.machine.entrypoint scheduler --alone-s 120
    python -m swath.cluster.machine.entrypoint worker tls://10.0.0.7:8786 --name NAME [--processes N] [--spot aws]

Dask's settings, with the TLS keys, are in the environment variable that Dask itself uses for its child processes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from dask.system import CPU_COUNT
from distributed import Nanny
from distributed.system import MEMORY_LIMIT

from swath.cluster.machine import preemption
from swath.cluster.machine.scheduler_roles import RoleScheduler
from swath.cluster.workers import resources, tls
from swath.cluster.workers.stopped_processes import STOPPED_S, StoppedProcesses

PORT = 8786
ALONE_S = 120.0
"""A scheduler without a client for so long ends, and its workers with it."""
DEATH_TIMEOUT_S = 300.0
"""A worker that does not reach its scheduler for so long ends. The first import from a new disk is slow."""
MACHINES = "swath-machines"
"""Key of the scheduler's metadata: machine name -> number of its worker processes."""
GPU = "gpu"
LISTENING = "swath: the scheduler listens at"
"""Beginning of a line of the console, after which the scheduler has to be reached."""
STOPPED_POLL_S = 1.0

log = logging.getLogger(__name__)


async def run_scheduler(host: str | None, alone_s: float) -> None:
    """Run a scheduler until it has had no client for `alone_s` seconds."""
    scheduler: Any = RoleScheduler(
        host=host,
        port=PORT,
        protocol="tls",
        security=tls.RunSecurity(),  # type: ignore[no-untyped-call]
        dashboard=False,
        dashboard_address="127.0.0.1:0",
    )
    async with scheduler:
        log.info("%s %s", LISTENING, scheduler.address)
        watch = asyncio.create_task(_close_without_client(scheduler, alone_s))
        await scheduler.finished()
        watch.cancel()


async def _close_without_client(scheduler: Any, alone_s: float) -> None:
    seen = time.monotonic()
    while time.monotonic() - seen < alone_s:
        await asyncio.sleep(min(1.0, alone_s / 3))
        if set(scheduler.clients) - {"fire-and-forget"}:
            seen = time.monotonic()
    log.warning("no client for %g s: the scheduler ends", alone_s)
    await scheduler.close(reason="no client")


def gpu_count(devices: Path = Path("/dev")) -> int:
    """GPUs that this container may use."""
    return sum(each.name.removeprefix("nvidia").isdecimal() for each in devices.glob("nvidia*"))


def worker_shares(processes: int, gpus: int, memory: int) -> list[tuple[dict[str, float], dict[str, str]]]:
    """(resources, environment) of each process: an equal share of `memory` bytes, and one GPU where there are any."""
    each: dict[str, float] = {resources.CPU: 1, resources.MEMORY: memory // processes}
    if not gpus:
        return [(each, {}) for _ in range(processes)]
    return [(each | {GPU: 1}, {"CUDA_VISIBLE_DEVICES": str(number % gpus)}) for number in range(processes)]


async def run_workers(host: str | None, address: str, name: str, processes: int | None, spot: str | None) -> None:
    """Run a machine's worker processes until they are retired or their scheduler is gone. `spot` is the cloud of a spot machine."""
    gpus = gpu_count()
    count = processes or gpus or CPU_COUNT
    nannies = [
        Nanny(
            address,
            nthreads=1,
            name=f"{name}-{number}",
            memory_limit=int(share[resources.MEMORY]),
            resources=share,
            env=env,
            death_timeout=DEATH_TIMEOUT_S,
            security=tls.RunSecurity(),  # type: ignore[no-untyped-call]
            host=host,
            dashboard_address="127.0.0.1:0",
        )
        for number, (share, env) in enumerate(worker_shares(count, gpus, MEMORY_LIMIT))
    ]
    await asyncio.gather(*nannies)
    rpc: Any = nannies[0].scheduler
    await asyncio.wait_for(rpc.set_metadata(keys=[MACHINES, name], value=count), DEATH_TIMEOUT_S)
    log.info("%d workers for %s", count, address)
    watch = (
        asyncio.create_task(preemption.retire_on_notice(spot, rpc, [each.name for each in nannies])) if spot else None
    )
    stopped = asyncio.create_task(_kill_stopped(nannies))
    try:
        await asyncio.gather(*(each.finished() for each in nannies))
    finally:
        stopped.cancel()
        if watch is not None:
            watch.cancel()


async def _kill_stopped(nannies: Sequence[Nanny]) -> None:
    """Kill worker processes that are stopped for long; their nannies start others."""
    processes = StoppedProcesses(round(STOPPED_S / STOPPED_POLL_S))
    while True:
        await asyncio.sleep(STOPPED_POLL_S)
        for pid in processes.look([each.pid for each in nannies if each.pid]):
            log.warning("worker process %d was stopped for %g s: it is restarted", pid, STOPPED_S)


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run it until it is done, or until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.warning("stopped by a signal")


def main(arguments: Sequence[str]) -> int:
    """Run a scheduler or a machine's workers. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m swath.cluster.machine.entrypoint")
    roles = parser.add_subparsers(dest="role", required=True)
    one = roles.add_parser("scheduler")
    one.add_argument("--alone-s", type=float, default=ALONE_S)
    many = roles.add_parser("worker")
    many.add_argument("scheduler")
    many.add_argument("--name", required=True)
    many.add_argument("--processes", type=int)
    many.add_argument("--spot", choices=sorted(preemption.PREEMPTED))
    for each in (one, many):
        each.add_argument("--host", help="where to listen; the machine's own address when not given")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if options.role == "scheduler":
        work = run_scheduler(options.host, options.alone_s)
    else:
        work = run_workers(options.host, options.scheduler, options.name, options.processes, options.spot)
    asyncio.run(_until_signal(work))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
