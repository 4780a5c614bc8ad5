"""What the container of a machine in a cloud runs: a scheduler that ends when nobody needs it, or a machine's worker processes.

    python -m swath.cluster.machine.entrypoint scheduler --alone-s 120
    python -m swath.cluster.machine.entrypoint worker tls://10.0.0.7:8786 --name NAME [--processes N] [--spot aws]

Dask's settings, TLS among them, come in the environment, as Dask itself hands them down.
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
from distributed import Nanny, Scheduler
from distributed.system import MEMORY_LIMIT

from swath.cluster.machine import preemption
from swath.cluster.workers import resources, tls

PORT = 8786
ALONE_S = 120.0
"""A scheduler without a client for so long ends, and with it its workers."""
DEATH_S = 300.0
"""A worker that does not find its scheduler for so long ends. The first import from a fresh disk takes its time."""
MACHINES = "swath-machines"
"""Key of the scheduler's metadata: how many processes each machine has."""
GPU = "gpu"

log = logging.getLogger(__name__)


async def scheduler(host: str | None, alone_s: float) -> None:
    """Be the scheduler until no client was there for `alone_s` seconds."""
    made: Any = Scheduler(
        host=host,
        port=PORT,
        protocol="tls",
        security=tls.RunSecurity(),  # type: ignore[no-untyped-call]
        dashboard=False,
        dashboard_address="127.0.0.1:0",
    )
    async with made:
        log.info("scheduler at %s", made.address)
        watch = asyncio.create_task(_alone(made, alone_s))
        await made.finished()
        watch.cancel()


async def _alone(made: Any, alone_s: float) -> None:
    seen = time.monotonic()
    while time.monotonic() - seen < alone_s:
        await asyncio.sleep(min(1.0, alone_s / 3))
        if set(made.clients) - {"fire-and-forget"}:
            seen = time.monotonic()
    log.warning("no client for %g s: the scheduler ends", alone_s)
    await made.close(reason="no client")


def gpus_here(devices: Path = Path("/dev")) -> int:
    """GPUs that this container may use."""
    return sum(each.name.removeprefix("nvidia").isdecimal() for each in devices.glob("nvidia*"))


def shares(processes: int, gpus: int, memory: int) -> list[tuple[dict[str, float], dict[str, str]]]:
    """What each process offers, and its environment: an equal share of the memory in bytes, one GPU each where there are any."""
    each: dict[str, float] = {resources.CPU: 1, resources.MEMORY: memory // processes}
    if not gpus:
        return [(each, {}) for _ in range(processes)]
    return [(each | {GPU: 1}, {"CUDA_VISIBLE_DEVICES": str(number % gpus)}) for number in range(processes)]


async def workers(host: str | None, address: str, name: str, processes: int | None, spot: str | None) -> None:
    """Be a machine's workers until they are retired or their scheduler is gone."""
    gpus = gpus_here()
    count = processes or gpus or CPU_COUNT
    nannies = [
        Nanny(
            address,
            nthreads=1,
            name=f"{name}-{number}",
            memory_limit=int(offered[resources.MEMORY]),
            resources=offered,
            env=env,
            death_timeout=DEATH_S,
            security=tls.RunSecurity(),  # type: ignore[no-untyped-call]
            host=host,
            dashboard_address="127.0.0.1:0",
        )
        for number, (offered, env) in enumerate(shares(count, gpus, MEMORY_LIMIT))
    ]
    await asyncio.gather(*nannies)
    rpc: Any = nannies[0].scheduler
    await asyncio.wait_for(rpc.set_metadata(keys=[MACHINES, name], value=count), DEATH_S)
    log.info("%d workers for %s", count, address)
    watch = asyncio.create_task(preemption.retire_at(spot, rpc, [each.name for each in nannies])) if spot else None
    try:
        await asyncio.gather(*(each.finished() for each in nannies))
    finally:
        if watch is not None:
            watch.cancel()


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Do it until it is done, or until the machine goes down."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.warning("asked to end")


def main(words: Sequence[str]) -> int:
    """Be a scheduler or a machine's workers."""
    parser = argparse.ArgumentParser(prog="python -m swath.cluster.machine.entrypoint")
    roles = parser.add_subparsers(dest="role", required=True)
    one = roles.add_parser("scheduler")
    one.add_argument("--alone-s", type=float, default=ALONE_S)
    many = roles.add_parser("worker")
    many.add_argument("scheduler")
    many.add_argument("--name", required=True)
    many.add_argument("--processes", type=int)
    many.add_argument("--spot", choices=sorted(preemption.NOTICES))
    for each in (one, many):
        each.add_argument("--host", help="where to listen; the machine's own address when not given")
    asked = parser.parse_args(words)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if asked.role == "scheduler":
        work = scheduler(asked.host, asked.alone_s)
    else:
        work = workers(asked.host, asked.scheduler, asked.name, asked.processes, asked.spot)
    asyncio.run(_until_told(work))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
