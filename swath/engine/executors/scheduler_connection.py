"""The connection of a client to its Dask scheduler: a lost one is waited for, a scheduler that is gone is an error."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed.comm.addressing import get_address_host_port

from swath.errors import InfrastructureError

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class ConnectionLimits:
    """How long a scheduler is waited for, in seconds."""

    answer_s: float = 60.0
    """For an answer over a connection that is there."""
    reconnect_s: float = 60.0
    """For a new connection when it was lost."""
    refused_s: float = 3.0
    """When its port has refused connections for so long, the scheduler's process is gone."""
    probe_s: float = 0.5
    """Between two looks whether the port refuses."""


class SchedulerConnection:
    """Whether a client is connected. The client itself connects again."""

    def __init__(self, client: Client, limits: ConnectionLimits = ConnectionLimits()) -> None:
        self._client: Any = client
        self._limits = limits
        self._lost_since: float | None = None
        self._refused_since: float | None = None
        self._probed = 0.0

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self._client.scheduler.address) if self._client.scheduler else "?"

    def connected(self) -> bool:
        """Whether it is connected; False while the client tries to connect again. Raises InfrastructureError when the scheduler is
        gone, or was not reached for too long."""
        if self._client.status == "running":
            self._lost_since = self._refused_since = None
            return True
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if self._client.status != "connecting" or now - self._lost_since > self._limits.reconnect_s or self._gone(now):
            raise self.lost()
        return False

    def lost(self, reason: str = "") -> InfrastructureError:
        """The error of a scheduler that is gone, or does not answer."""
        return InfrastructureError(
            f"the Dask scheduler at {self.address} is lost" + (f": {reason}" if reason else ""),
            remedy="finished calls are kept: start it again, then `pipe resume last`",
        )

    def _gone(self, now: float) -> bool:
        """Whether no process listens at the scheduler's port any more. A network that is cut does not answer at all."""
        if now - self._probed >= self._limits.probe_s:
            self._probed = now
            if _refuses(self.address):
                self._refused_since = self._refused_since or now
            else:
                self._refused_since = None
        return self._refused_since is not None and now - self._refused_since > self._limits.refused_s

    def ask(self, function: Callable[..., Any], *arguments: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """The result of a coroutine on the client's loop, in limited time. Raises InfrastructureError when the scheduler is lost."""
        with self.errors():
            return self._client.sync(
                function, *arguments, callback_timeout=timeout_s or self._limits.answer_s, **options
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise InfrastructureError for what a lost scheduler raises during the body."""
        try:
            yield
        except TimeoutError as error:
            raise self.lost("it does not answer") from error
        except OSError as error:  # CommClosedError is one
            raise self.lost(str(error)) from error
        except RuntimeError as error:  # of a client that is closed
            if self._client.status == "running":
                raise
            raise self.lost(str(error)) from error


def _refuses(address: str) -> bool:
    with suppress(OSError, ValueError):
        try:
            socket.create_connection(get_address_host_port(address), timeout=0.5).close()
        except ConnectionRefusedError:
            return True
    return False
