"""meets_score: whether the numbers of an evaluation reach what is required before a model is used."""

from __future__ import annotations

from collections.abc import Mapping

from swath.errors import UsageError


def meets_score(numbers: Mapping[str, float], score: str, at_least: float) -> bool:
    """Whether the number `score` of an evaluation is at least `at_least`. Raises UsageError for an unknown name."""
    if score not in numbers:
        raise UsageError(f"passes.score: there is no number {score!r}", remedy=f"There are {', '.join(numbers)}.")
    return bool(numbers[score] >= at_least)
