"""A run's connection to a Dask cluster: a client whose workers have been checked and set up for the run's calls.

All clusters with a scheduler use it, however their workers were started.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import distributed
from distributed.security import Security

from swath.cluster.workers import resources, versions
from swath.cluster.workers.late_joiners import LateJoiners
from swath.cluster.workers.run_client import ANSWER_S, RunClient, answer
from swath.cluster.workers.setup import workers_set_up
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.store import INLINE_BYTES, ResultStore
from swath.engine.stored_result import StoredResult
from swath.errors import InfrastructureError

RESOURCES_VALID_S = 1.0
"""For so long, resources that workers had are not asked for again."""
LOGGERS = ("distributed.client", "distributed.batched", "distributed.deploy.adaptive")


class DaskSession:
    """A client of a scheduler whose workers are ready for a run. Does not own the client."""

    def __init__(self, client: Any, address: str, late_joiners: LateJoiners | None = None) -> None:
        self.client = client
        self.address = address
        """Of the scheduler."""
        self._late_joiners = late_joiners
        self._found_at: dict[frozenset[tuple[str, float]], float] = {}
        """Requested resources -> when a worker had them last."""

    @property
    def workers(self) -> int:
        """Worker processes at the scheduler."""
        return len(self._workers())

    def executor(
        self,
        on_output: OutputListener,
        check: Callable[[Mapping[str, float]], None],
        on_backlog: Callable[[int, float | None], None] | None = None,
    ) -> DaskExecutor:
        """An executor on these workers. `check` gets the resources of each call; `on_backlog` the calls that are left, and the
        seconds of work in them."""
        return DaskExecutor(self.client, on_output, check=check, on_backlog=on_backlog)

    def check_late_joiners(self) -> None:
        """Raise InfrastructureError when a worker has joined that does not fit."""
        if self._late_joiners is not None:
            self._late_joiners.check()

    def check_resources(self, requested: Mapping[str, float], *, workers_return: bool = False) -> None:
        """Raise InfrastructureError when no worker has these resources. `workers_return`: having no workers at all is no error,
        because lost ones are replaced."""
        key = frozenset(requested.items())
        now = time.monotonic()
        if not key or now - self._found_at.get(key, -math.inf) <= RESOURCES_VALID_S:
            return
        workers = self._workers().values()
        if workers or not workers_return:
            resources.check(requested, [worker["resources"] for worker in workers])
            self._found_at[key] = now

    def check_store(self, store: ResultStore) -> None:
        """Raise InfrastructureError unless all workers read what this process writes to the result store."""
        probe = store.put(os.urandom(INLINE_BYTES + 1))
        with scheduler_errors(self.address):
            answers = answer(self.client, self.client._run, _reads, store, probe, on_error="return")
        blind = [worker for worker, answer in answers.items() if answer is not True]
        if blind:
            raise InfrastructureError(
                f"{len(blind)} of {len(answers)} workers cannot read the results folder {store.root};"
                f" {blind[0]} says: {answers[blind[0]]}",
                remedy="set `results:` in swath.yaml to a folder or bucket that client and workers both reach",
            )

    def _workers(self) -> Mapping[str, Any]:
        with scheduler_errors(self.address):
            found: Any = answer(self.client, self.client.scheduler.identity, n_workers=-1)
        workers: Mapping[str, Any] = found["workers"]
        return workers


@contextlib.contextmanager
def session(
    client: distributed.Client,
    address: str,
    warn: Callable[[str], None] | None = None,
    *,
    end_with_run: bool = False,
    env: Mapping[str, str] = {},
) -> Iterator[DaskSession]:
    """Check the versions of a scheduler and its workers, and set the workers up for a run during the body.

    `warn` gets a message when packages of the workers' image differ from those here. `end_with_run`: the workers end with the run,
    so nothing is taken from them at its end. `env`: variables that are set in each worker. Raises InfrastructureError when a worker
    does not fit, or the scheduler is lost.
    """
    with contextlib.ExitStack() as exits:
        with scheduler_errors(address):
            versions.check(client, address)
            if warn is not None and (message := versions.package_warning(client)):
                warn(message)
            exits.enter_context(workers_set_up(client, ProjectCode.loaded(), env, end_with_run=end_with_run))

            def check_workers(workers: list[str]) -> None:
                versions.check_workers(client, address, workers)

            late_joiners = exits.enter_context(LateJoiners(client, check_workers))
        yield DaskSession(client, address, late_joiners)


def connect(address: Any, security: Security | None, timeout_s: float) -> distributed.Client:
    """A client of a scheduler's address, or of a cluster, that is not the default one of this process. Raises OSError, TimeoutError
    and ValueError."""
    client: Any = RunClient  # distributed has no types for it
    created: distributed.Client = client(address, security=security, timeout=timeout_s, set_as_default=False)
    return created


@contextlib.contextmanager
def scheduler_errors(address: str) -> Iterator[None]:
    """Raise InfrastructureError when the scheduler is lost during the body, or does not answer in time."""
    try:
        yield
    except TimeoutError as error:
        raise InfrastructureError(
            f"the scheduler at {address}, or one of its workers, has not answered for {ANSWER_S:g} s",
            remedy="a worker that is stopped or swaps does not answer: restart it; `pipe resume` takes the run up again",
        ) from error
    except OSError as error:  # CommClosedError is an OSError
        raise InfrastructureError(
            f"the scheduler at {address} is lost: {error}", remedy="`pipe resume` takes the run up again"
        ) from error


@contextlib.contextmanager
def quiet_dask() -> Iterator[None]:
    """Silence Dask's own log messages during the body: it logs a lost scheduler with a traceback, the run reports it in one line."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reads(store: ResultStore, probe: StoredResult) -> bool:
    """On a worker: whether it reads what the client has just written."""
    return store.has(probe)
