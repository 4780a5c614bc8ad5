"""`collect`: one result out of several, made where the result is handed over."""

from __future__ import annotations

from typing import Any

from swath.graph.task import task


@task(takes_skipped=True, on_client=True)
def collect(value: Any) -> Any:
    """The result of a pipeline that returns several values."""
    return value
