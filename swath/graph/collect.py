"""`collect`: the task behind a pipeline that returns several values. It runs in the client's process."""

from __future__ import annotations

from typing import Any

from swath.graph.task import task


@task(takes_skipped=True, on_client=True)
def collect(value: Any) -> Any:
    """The result of a pipeline that returns several values."""
    return value
