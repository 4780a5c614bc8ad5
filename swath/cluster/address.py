"""A Dask scheduler that somebody else started: connected to, never closed."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import distributed

from swath.cluster.cluster import RunningCluster
from swath.engine.dask_executor import DaskExecutor
from swath.engine.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import INLINE_BYTES, ResultStore, Stored
from swath.engine.work import Say
from swath.errors import InfrastructureError
from swath.spec.cluster import AddressCluster
from swath.version import __version__

CONNECT_TIMEOUT_S = 20
WORKERS_TIMEOUT_S = 60


class Address:
    """A client of an existing scheduler."""

    kind = "address"

    def __init__(self, spec: AddressCluster) -> None:
        self.address = spec.url
        self.workers = 0

    def __enter__(self) -> Self:
        try:
            self._client = distributed.Client(self.address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InfrastructureError(
                f"no Dask scheduler answers at {self.address}: {error}",
                remedy="start one with `dask scheduler`, or check cluster.url",
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
            self._check_versions()
        except TimeoutError as error:
            self._client.close()
            raise InfrastructureError(
                f"the scheduler at {self.address} has no workers",
                remedy=f"start some with `dask worker {self.address}`",
            ) from error
        except BaseException:
            self._client.close()
            raise
        self.workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _check_versions(self) -> None:
        found = self._client.run(_version, on_error="return")
        wrong = {worker: version for worker, version in found.items() if version != __version__}
        if wrong:
            worker, version = next(iter(wrong.items()))
            raise InfrastructureError(
                f"{len(wrong)} of {len(found)} workers at {self.address} do not run swath {__version__}; {worker} says: {version}",
                remedy=f"install swath=={__version__} where the workers run",
            )

    def executor(self, say: Say, stop: Stop) -> Executor:
        return DaskExecutor(self._client, say)

    def check_store(self, store: ResultStore) -> None:
        token = os.urandom(INLINE_BYTES + 1)
        stored = store.put(token)
        seen = self._client.run(_sees, store, stored, on_error="return")
        blind = [worker for worker, answer in seen.items() if answer is not True]
        if blind:
            raise InfrastructureError(
                f"{len(blind)} of {len(seen)} workers cannot read the results folder {store.root}; {blind[0]} says: {seen[blind[0]]}",
                remedy="set `results:` in swath.yaml to a folder or bucket that client and workers both reach",
            )


def _sees(store: ResultStore, stored: Stored) -> bool:
    """On a worker: whether it reads what the client has just written."""
    return store.has(stored)


def _version() -> str:
    from swath.version import __version__ as version

    return version


_: type[RunningCluster] = Address
