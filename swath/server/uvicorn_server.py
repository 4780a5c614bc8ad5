"""uvicorn's server, which says when it is ready, and wakes waiting requests before it waits for their end."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn


class UvicornServer(uvicorn.Server):
    """One server process."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)
