"""A Dask scheduler that somebody else started: connected to, never closed."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import distributed

from swath.cluster.contract import RunningCluster
from swath.cluster.workers import resources as offered
from swath.cluster.workers import tls, versions
from swath.cluster.workers.late_joiners import LateJoiners
from swath.cluster.workers.setup import hosted
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import INLINE_BYTES, ResultStore
from swath.engine.stored_result import StoredResult
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster

CONNECT_TIMEOUT_S = 20
WORKERS_TIMEOUT_S = 60
OFFERS_EVERY_S = 1.0
"""How often it is asked whether workers still have what calls ask for."""


class Address:
    """A client of an existing scheduler."""

    kind = "address"

    def __init__(self, spec: AddressCluster) -> None:
        self.address = spec.url
        self.workers = 0
        self._tls = spec.tls
        self._had: dict[frozenset[tuple[str, float]], float] = {}
        """When workers last had what calls asked for."""
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(quiet_client())
            self._client = exits.enter_context(self._connect())
            try:
                self._client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
            except TimeoutError as error:
                raise InfrastructureError(
                    f"the scheduler at {self.address} has no workers",
                    remedy=f"start some with `dask worker {self.address}`",
                ) from error
            with answering(self.address):
                versions.check(self._client, self.address)
                exits.enter_context(hosted(self._client, ProjectCode.loaded()))
                self._newcomers = exits.enter_context(
                    LateJoiners(self._client, lambda: versions.check(self._client, self.address))
                )
            self.workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _connect(self) -> distributed.Client:
        security = tls.of_files(self._tls) if self._tls else None
        try:
            return distributed.Client(self.address, timeout=CONNECT_TIMEOUT_S, set_as_default=False, security=security)
        except (OSError, TimeoutError, ValueError) as error:
            raise InfrastructureError(
                f"no Dask scheduler answers at {self.address}: {error}",
                remedy="start one with `dask scheduler`, or check cluster.url"
                + (" and cluster.tls" if security else ""),
            ) from error

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return DaskExecutor(self._client, on_output, check=self.check)

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or when one has joined that does not fit."""
        self._newcomers.check()
        asked = frozenset(resources.items())
        now = time.monotonic()
        if asked and now - self._had.get(asked, -math.inf) > OFFERS_EVERY_S:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            offered.check(resources, [worker["resources"] for worker in workers.values()])
            self._had[asked] = now

    def check_store(self, store: ResultStore) -> None:
        seen_by_workers(self._client, store)


def seen_by_workers(client: distributed.Client, store: ResultStore) -> None:
    """Raise InfrastructureError unless all workers read what this process writes into the store of results."""
    token = os.urandom(INLINE_BYTES + 1)
    stored = store.put(token)
    scheduler: Any = client.scheduler
    with answering(scheduler.address):
        seen = client.run(_sees, store, stored, on_error="return")
    blind = [worker for worker, answer in seen.items() if answer is not True]
    if blind:
        raise InfrastructureError(
            f"{len(blind)} of {len(seen)} workers cannot read the results folder {store.root}; {blind[0]} says: {seen[blind[0]]}",
            remedy="set `results:` in swath.yaml to a folder or bucket that client and workers both reach",
        )


@contextlib.contextmanager
def answering(address: str) -> Iterator[None]:
    """Inside, a scheduler that is lost while it is asked is an InfrastructureError."""
    try:
        yield
    except OSError as error:  # CommClosedError and TimeoutError, too
        raise InfrastructureError(
            f"the scheduler at {address} is lost: {error}", remedy="`pipe resume` takes the run up again"
        ) from error


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Inside, Dask tells nothing itself, least of all of a lost scheduler with a traceback: the run tells it in a line."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "batched", "deploy.adaptive")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _sees(store: ResultStore, stored: StoredResult) -> bool:
    """On a worker: whether it reads what the client has just written."""
    return store.has(stored)


_: type[RunningCluster] = Address
