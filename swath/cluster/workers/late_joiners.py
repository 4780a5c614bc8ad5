"""Workers that join while a run goes on: looked at in the background, so that the run does not wait."""

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
"""Where the scheduler tells of workers that come and go."""


class LateJoiners:
    """Calls `look` when a worker has joined; what it finds is raised at the next `check`."""

    def __init__(self, client: Client, look: Callable[[], None]) -> None:
        self._client = client
        self._look = look
        self._fault: InfrastructureError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="swath-newcomers")

    def __enter__(self) -> Self:
        self._client.subscribe_topic(TOPIC, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._client.status == "running":
            with contextlib.suppress(ValueError):
                self._client.unsubscribe_topic(TOPIC)

    def check(self) -> None:
        """Raise what was found wrong with a worker that joined."""
        if self._fault is not None:
            raise self._fault

    def _heard(self, event: tuple[float, Any]) -> None:
        # On the client's own thread, which must not wait.
        if isinstance(event[1], dict) and event[1].get("action") == "add-worker":
            self._thread.submit(self._looked)

    def _looked(self) -> None:
        try:
            self._look()
        except InfrastructureError as error:
            self._fault = error
        except (OSError, TimeoutError):
            return  # it has left again, or the scheduler is lost, which the executor tells
