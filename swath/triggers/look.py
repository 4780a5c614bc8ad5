"""What a look of a sensor finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

MOST_FOUND = 10_000
"""Things that one look may find."""
LONGEST_KEY = 500


@dataclass(frozen=True)
class Found:
    """One thing that was found: it gets one run, however often it is found."""

    key: str
    """What makes it different from all others of this trigger."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """For `${found:NAME}`."""


@dataclass(frozen=True)
class Look:
    """What came of one look."""

    found: tuple[Found, ...] = ()
    cursor: Any = None
    """JSON; the next look gets it. It is stored together with what was found."""
    text: str = ""
    """Why nothing was found, or what is waited for, in words."""


F = TypeVar("F", bound=Callable[..., Any])
SENSOR_MARK = "__swath_sensor__"
"""Attribute of a function that `sensor` marked."""


def sensor(function: F) -> F:
    """Mark a function as a sensor: `sensor: python` in swath.yaml calls it with the cursor of its last look and `found`.

    It calls `found(key, **values)` for each thing it sees, new or not, and returns the next cursor (JSON). Each key gets one run.
    """
    setattr(function, SENSOR_MARK, True)
    return function
