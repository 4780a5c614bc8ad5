"""The result of a graph's execution: its value, and how many calls were executed, reused and failed."""

from __future__ import annotations

from dataclasses import dataclass, field

from swath.engine.stored_result import StoredResult


@dataclass
class CallCounts:
    """Calls that have ended until now."""

    executed: int = 0
    """Calls that ran in this session and ended for good, with a result or an error."""
    reused: int = 0
    """Calls that had a result of an earlier call with the same key."""
    failed: int = 0
    """Calls that failed for good."""
    set_aside: list[str] = field(default_factory=list)
    """The first of those, as `node[item]: error`; the journal has all."""
    left_out: list[str] = field(default_factory=list)
    """What calls with a result left out of it, as `node: what`; the first of it."""
    exit_code: int = 0
    """Of the first error that set a call aside; 0 when there was none."""


@dataclass
class EngineResult(CallCounts):
    """How the graph ended."""

    value: StoredResult | None = None
    """Result of the graph; None when it could not be computed or was skipped."""
