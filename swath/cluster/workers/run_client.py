"""A run's Dask client: it takes its subscriptions to topics up again after a lost connection, and has calls with a time limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import distributed

ANSWER_S = 60.0
"""Time limit of a call that a scheduler or all workers have to answer. A worker may be busy for long, a stopped one never answers."""
CLOSE_S = 10.0
"""Time limit of closing a client. The cluster is closed, or its machines are terminated, in any case."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class RunClient(distributed.Client):
    """`distributed.Client`, whose scheduler forgets subscriptions when the connection is lost."""

    async def _reconnect(self) -> None:
        await super()._reconnect()
        this: Any = self
        if this.status == "running":
            for topic in list(this._event_handlers):
                this._send_to_scheduler({"op": "subscribe-topic", "topic": topic, "client": this.id})

    def __exit__(self, exc_type: object, exc_value: object, traceback: object) -> None:
        this: Any = self
        try:
            this.close(timeout=CLOSE_S)
        except Exception as error:  # noqa: BLE001 - a library's close may fail in any way
            log.warning("the client did not close in good order: %s: %s", type(error).__name__, error)


def answer(
    client: Any,
    function: Callable[..., Coroutine[Any, Any, T]],
    *arguments: Any,
    timeout_s: float = ANSWER_S,
    **options: Any,
) -> T:
    """The result of a coroutine on the client's loop. Raises TimeoutError, and what the coroutine raises."""
    result: T = client.sync(function, *arguments, callback_timeout=timeout_s, **options)
    return result
