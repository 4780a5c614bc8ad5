"""`either`: the task that takes the result of whichever branch ran."""

from __future__ import annotations

from typing import Any

from swath.errors import TaskFailed
from swath.graph.ref import SKIPPED
from swath.graph.task import task


@task(takes_skipped=True)
def either(*values: Any) -> Any:
    """The first of the values whose node was not skipped. Raises TaskFailed when all were."""
    for value in values:
        if value is not SKIPPED:
            return value
    raise TaskFailed("every branch was skipped, so there is nothing to go on with")
