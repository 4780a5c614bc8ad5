"""A cloud's notice that it takes a spot machine back: its workers take no more calls, and end when those that they have are done."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swath.cluster.machine.metadata import GOOGLE, asked

EVERY_S = 2.0
LEFT_S: Mapping[str, float] = {"aws": 100.0, "gcp": 20.0}
"""What calls that are running have: EC2 gives notice two minutes ahead, Compute Engine half a minute."""

log = logging.getLogger(__name__)


def aws() -> bool:
    """Whether EC2 takes this machine back. There is nothing at that place until then."""
    token = asked("/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    try:
        return bool(asked("/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


def gcp() -> bool:
    """Whether Compute Engine takes this machine back."""
    return asked("/computeMetadata/v1/instance/preempted", GOOGLE).strip() == "TRUE"


NOTICES: Mapping[str, Callable[[], bool]] = {"aws": aws, "gcp": gcp}


async def retire_at(kind: str, scheduler: Any, names: Sequence[str]) -> None:
    """Wait for the notice, then retire the workers of these names; `scheduler` is a connection to it."""
    while not await _noticed(kind):
        await asyncio.sleep(EVERY_S)
    log.warning("the cloud takes this machine back: its workers are retired")
    deadline = time.monotonic() + LEFT_S[kind]
    while time.monotonic() < deadline:
        # Results in their memory are moved at once; they take no more calls, and go on with those that they have.
        await scheduler.retire_workers(names=list(names), close_workers=False, remove=False)
        known = (await scheduler.identity(n_workers=-1))["workers"]
        here = {address for address, worker in known.items() if worker["name"] in names}
        processing = await scheduler.processing(workers=list(here))
        if not any(processing.values()):
            break
        await asyncio.sleep(0.5)
    await scheduler.retire_workers(names=list(names), close_workers=True, remove=True)


async def _noticed(kind: str) -> bool:
    try:
        return await asyncio.to_thread(NOTICES[kind])
    except (OSError, ValueError) as error:  # it may not answer for a moment
        log.info("the machine's metadata do not answer: %s", error)
        return False
