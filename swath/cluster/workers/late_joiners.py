"""Workers that join while a run goes on: checked in the background, so that the run does not wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from swath.errors import InfrastructureError

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "all"
"""Topic of the scheduler's events about workers that join and leave."""


class LateJoiners:
    """Calls `check_workers` when a worker has joined. The error that it raises is raised again by the next `check`."""

    def __init__(self, client: Client, check_workers: Callable[[], None]) -> None:
        self._client = client
        self._check_workers = check_workers
        self._error: InfrastructureError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="swath-late-joiners")

    def __enter__(self) -> Self:
        self._client.subscribe_topic(TOPIC, self._on_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
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
            self._thread.submit(self._check)

    def _check(self) -> None:
        try:
            self._check_workers()
        except InfrastructureError as error:
            self._error = error
        except (OSError, TimeoutError):
            return  # the worker has left again, or the scheduler is lost, which the executor reports
