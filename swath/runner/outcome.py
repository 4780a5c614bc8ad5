"""How a run ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended."""

    run: str
    """The run's id."""
    status: str
    """done, partial (some items were set aside), failed, interrupted, terminated, timed out or over budget."""
    exit_code: int
    """Of the command: 0 for done; README.md lists the others."""
    error: str = ""
    """Why it is not done; empty when it is."""
    outputs: list[str] = field(default_factory=list)
    """What was published: paths or URLs; the result itself where nothing was."""
    set_aside: list[str] = field(default_factory=list)
    """Items that failed for good, as `node[item]: error`; the first thousand."""
    result: Any = None
    """What the pipeline returned; of a matrix the table of its variants."""
