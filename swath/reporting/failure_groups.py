"""Failure groups: failed and retried calls of a run, counted by node and reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swath.events import CallRetried, Event

GROUPS = 50
"""Maximum number of groups; further failures are only counted."""
_REASON_LENGTH = 400
"""Characters of a reason."""


@dataclass(frozen=True)
class FailureGroup:
    """Calls of a node that failed, or were retried, for reasons that differ in numbers only."""

    node: str
    item: int | None
    """Of the first of them."""
    final: bool
    """True: they failed for good. False: they were retried."""
    count: int
    reason: str
    """Of the first of them."""


class FailureGroups:
    """Counts failures. A listener of events for retries, since the journal has only the end of each call."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, bool, str], tuple[int, int | None, str]] = {}
        self._more = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallRetried):
            self.add(event.node, event.item, event.error, final=False)

    def add(self, node: str, item: int | None, reason: str, *, final: bool) -> None:
        """Count one failure."""
        reason = reason[:_REASON_LENGTH]
        key = (node, final, re.sub(r"\d+", "0", reason.partition("\n")[0]))
        if key in self._groups:
            count, first_item, first_reason = self._groups[key]
            self._groups[key] = (count + 1, first_item, first_reason)
        elif len(self._groups) < GROUPS:
            self._groups[key] = (1, item, reason)
        else:
            self._more += 1

    def groups(self) -> tuple[tuple[FailureGroup, ...], int]:
        """The groups, final failures first and then by count; and the number of failures in no group."""
        found = [
            FailureGroup(node, item, final, count, reason)
            for (node, final, _), (count, item, reason) in self._groups.items()
        ]
        return tuple(sorted(found, key=lambda group: (not group.final, -group.count))), self._more
