"""The contract of a cluster, on whose workers the calls of a run execute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from swath.cluster.cost.budget import Budget, PaidMachine
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore


@dataclass(frozen=True)
class RunContext:
    """The run for which a cluster is started."""

    run: str
    """Id of the run."""
    journal: Journal
    """Leases are written there before anything is created."""
    stop: Stop
    """Whether the run was asked to stop: machines are not waited for then."""
    say: Callable[[str, str], None]
    """Shows and logs a message: (level, text)."""
    budget: Budget | None = None
    """What machines may cost; None for no limit."""
    secrets: Collection[str] = field(default=(), repr=False)
    """Values that the spec has from the environment: they are in no user data and no manifest."""
    consoles: Path | None = None
    """Folder for the consoles of machines; None: they are not kept."""


class RunningCluster(Protocol):
    """The workers of one run. A context manager: leaving it closes all that it started, whatever happened."""

    kind: str
    workers: int
    """Worker processes that were up when the cluster had started."""
    address: str
    """Address of the scheduler; empty for a cluster without one."""

    def __enter__(self) -> Self:
        """Start. Raises InfrastructureError when the cluster is not up within its timeout."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. Raises TeardownError when something that costs money may be left. Closing twice does nothing more."""
        ...

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        """An executor of calls on this cluster. `on_output` gets what calls print, log and report."""
        ...

    def check_store(self, store: ResultStore) -> None:
        """Raise InfrastructureError unless workers read the results that this process writes."""
        ...


@runtime_checkable
class ReleasesWorkers(Protocol):
    """A cluster whose workers cost money, and can go before the run's last calls, which are executed on the client."""

    def release_workers(self) -> None:
        """Begin to terminate all workers; returns at once. They come back when another call is submitted."""
        ...


@runtime_checkable
class HasPaidMachines(Protocol):
    """A cluster of machines that are paid for by the hour."""

    @property
    def paid_machines(self) -> Sequence[PaidMachine]:
        """All machines so far, also after the end."""
        ...
