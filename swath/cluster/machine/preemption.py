"""Preemption of spot machines: after the cloud's notice, a machine's workers take no more calls and end with those that run."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swath.cluster.machine.metadata import GOOGLE, read_metadata

GRACE_S: Mapping[str, float] = {"aws": 100.0, "gcp": 20.0}
"""Time for calls that run: EC2 gives notice two minutes ahead, Compute Engine half a minute."""

log = logging.getLogger(__name__)


def aws_preempted() -> bool:
    """Whether EC2 has given notice. The path does not exist until then."""
    token = read_metadata("/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    try:
        return bool(read_metadata("/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


def gcp_preempted() -> bool:
    """Whether Compute Engine has given notice."""
    return read_metadata("/computeMetadata/v1/instance/preempted", GOOGLE).strip() == "TRUE"


PREEMPTED: Mapping[str, Callable[[], bool]] = {"aws": aws_preempted, "gcp": gcp_preempted}


async def retire_on_notice(kind: str, scheduler: Any, names: Sequence[str], poll_s: float = 2.0) -> None:
    """Wait for the notice, then retire the workers with these names. `scheduler` is a connection to it."""
    while not await _preempted(kind):
        await asyncio.sleep(poll_s)
    log.warning("the cloud takes this machine back: its workers are retired")
    deadline = time.monotonic() + GRACE_S[kind]
    while time.monotonic() < deadline:
        # Results in their memory are moved at once. They take no more calls, but the ones that run go on.
        await scheduler.retire_workers(names=list(names), close_workers=False, remove=False)
        known = (await scheduler.identity(n_workers=-1))["workers"]
        here = {address for address, worker in known.items() if worker["name"] in names}
        processing = await scheduler.processing(workers=list(here))
        if not any(processing.values()):
            break
        await asyncio.sleep(0.5)
    await scheduler.retire_workers(names=list(names), close_workers=True, remove=True)


async def _preempted(kind: str) -> bool:
    try:
        return await asyncio.to_thread(PREEMPTED[kind])
    except (OSError, ValueError) as error:  # the server may not answer for a moment
        log.info("the metadata server does not answer: %s", error)
        return False
