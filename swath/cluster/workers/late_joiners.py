"""Workers that join while a run goes on: checked in the background, all together that have joined since the last check."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from swath.errors import InfrastructureError

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "all"
"""Topic of the scheduler's events about workers that join and leave."""


class LateJoiners:
    """Calls `check_workers` with the addresses of workers that have joined. The error that it raises is raised again by the next
    `check`.

    When they do not answer in time, each half of them is checked by itself: one that is stopped does not hide the others. In a
    daemon thread, for which nobody waits: a worker may not answer.
    """

    def __init__(self, client: Client, check_workers: Callable[[list[str]], None]) -> None:
        self._client = client
        self._check_workers = check_workers
        self._error: InfrastructureError | None = None
        self._joined: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Addresses of workers; empty text at the end."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._check_all, name="late joiners", daemon=True).start()
        self._client.subscribe_topic(TOPIC, self._on_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._joined.put("")
        if self._client.status == "running":
            with contextlib.suppress(ValueError):
                self._client.unsubscribe_topic(TOPIC)

    def check(self) -> None:
        """Raise the InfrastructureError of a worker that joined and does not fit."""
        if self._error is not None:
            raise self._error

    def _on_event(self, event: tuple[float, Any]) -> None:
        # On the client's own thread, which must not wait.
        if isinstance(event[1], dict) and event[1].get("action") == "add-worker":
            self._joined.put(event[1]["worker"])

    def _check_all(self) -> None:
        while self._error is None and (address := self._joined.get()):
            addresses = [address]
            with contextlib.suppress(queue.Empty):
                while following := self._joined.get_nowait():
                    addresses.append(following)
                return  # the run ends
            self._check(list(dict.fromkeys(addresses)))

    def _check(self, addresses: list[str]) -> None:
        try:
            self._check_workers(addresses)
        except InfrastructureError as error:
            self._error = error
        except TimeoutError:
            half = len(addresses) // 2
            for part in (addresses[:half], addresses[half:]) if half else ():
                if self._error is None:
                    self._check(part)
        except (OSError, RuntimeError):
            return  # the worker has left again, or the scheduler is lost, which the executor reports
