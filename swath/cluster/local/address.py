"""The cluster for `cluster: {kind: address}`: a Dask scheduler that runs already. It is connected to, and never closed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import distributed

from swath.cluster.contract import RunningCluster
from swath.cluster.workers import tls
from swath.cluster.workers.session import connect, quiet_dask, session
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster


@dataclass(frozen=True)
class AddressLimits:
    """Timeouts in seconds."""

    connect_s: float = 20
    workers_s: float = 60
    """Until the scheduler has a worker."""


CLOCK = "a certificate that is not valid yet, or has expired, may also mean that the clock of this machine is wrong"


def reason_of(error: BaseException) -> str:
    """The text of an error, and of what caused it: Dask's own names only the time after which it gave up."""
    first, each = str(error), error.__cause__ or error.__context__
    texts: list[str] = []
    while each is not None and len(texts) < 3:
        if (text := str(each)) and text not in first:
            texts.append(text)
        each = each.__cause__ or each.__context__
    return ": ".join([first, *texts[-1:]])


class Address:
    """A client of an existing scheduler."""

    kind = "address"

    def __init__(self, spec: AddressCluster, limits: AddressLimits = AddressLimits()) -> None:
        self.address = spec.url
        self.workers = 0
        self._tls = spec.tls
        self._limits = limits
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(quiet_dask())
            client = exits.enter_context(self._connect())
            try:
                client.wait_for_workers(1, timeout=self._limits.workers_s)
            except TimeoutError as error:
                raise InfrastructureError(
                    f"the scheduler at {self.address} has no workers",
                    remedy=f"start some with `dask worker {self.address}`",
                ) from error
            self.session = exits.enter_context(session(client, self.address))
            self.workers = self.session.workers
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _connect(self) -> distributed.Client:
        security = tls.security_from_files(self._tls) if self._tls else None
        try:
            return connect(self.address, security, self._limits.connect_s)
        except (OSError, TimeoutError, ValueError) as error:
            raise InfrastructureError(
                f"no Dask scheduler answers at {self.address}: {reason_of(error)}",
                remedy="start one with `dask scheduler`, or check cluster.url"
                + (f" and cluster.tls; {CLOCK}" if security else ""),
            ) from error

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return self.session.executor(on_output, self.check)

    def check(self, requested: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker has these resources, or when one has joined that does not fit."""
        self.session.check_late_joiners()
        self.session.check_resources(requested)

    def check_store(self, store: ResultStore) -> None:
        self.session.check_store(store)


_: type[RunningCluster] = Address
