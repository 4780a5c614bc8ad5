"""Labels as one text in the database."""

from __future__ import annotations

from collections.abc import Sequence

LABEL_SEPARATOR = " "
_RUNS_ON = "on:"
"""Begins the label of a launcher: nobody can give a run or an agent such a label by itself."""


def joined(labels: Sequence[str]) -> str:
    """Labels as one text: sorted, each once."""
    return LABEL_SEPARATOR.join(sorted(set(labels)))


def split(text: str) -> tuple[str, ...]:
    """The labels of such a text."""
    return tuple(filter(None, text.split(LABEL_SEPARATOR)))


def with_launchers(labels: Sequence[str], launchers: Sequence[str]) -> str:
    """Labels and launchers as one text: a run that wants a launcher needs an agent that has it, as with labels."""
    return joined([*labels, *(f"{_RUNS_ON}{name}" for name in launchers)])


def without_launchers(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels, and the launchers, of such a text."""
    parts = split(text)
    launchers = tuple(each.removeprefix(_RUNS_ON) for each in parts if each.startswith(_RUNS_ON))
    return tuple(each for each in parts if not each.startswith(_RUNS_ON)), launchers
