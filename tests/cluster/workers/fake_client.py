"""A client of Dask in memory: what is asked of a scheduler and its workers is answered by functions of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class FakeClient:
    """Answers, by name: `identity`, `versions`, `broadcast`, and functions that run on workers or on the scheduler."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.id, self.status = "Client-1", "running"
        self.scheduler = SimpleNamespace(
            identity=self._function("identity"),
            versions=self._function("versions"),
            broadcast=self._function("broadcast"),
        )
        self.limits: list[float] = []

    def sync(self, function: Callable[..., Any], *arguments: Any, callback_timeout: float, **options: Any) -> Any:
        self.limits.append(callback_timeout)
        return asyncio.run(function(*arguments, **options))

    async def _run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return await self._answer(f"workers {function.__name__}", {"arguments": arguments, **options})

    async def _run_on_scheduler(self, function: Callable[..., Any]) -> Any:
        return await self._answer(f"scheduler {function.__name__}", {})

    async def _register_worker_plugin(self, plugin: Any, name: str, idempotent: bool) -> Any:
        assert not idempotent
        return await self._answer("register", {"plugin": plugin, "name": name})

    async def _unregister_worker_plugin(self, name: str) -> Any:
        return await self._answer("unregister", {"name": name})

    def scheduler_info(self, n_workers: int) -> Any:
        assert n_workers == -1
        return self.answers["identity"]

    def names(self) -> list[str]:
        """What was asked, in its order."""
        return [name for name, _ in self.asked]

    def _function(self, name: str) -> Callable[..., Any]:
        async def ask(**options: Any) -> Any:
            return await self._answer(name, options)

        return ask

    async def _answer(self, name: str, options: dict[str, Any]) -> Any:
        self.asked.append((name, options))
        found = self.answers.get(name)
        found = found(options) if callable(found) else found
        if isinstance(found, Exception):
            raise found
        return found
