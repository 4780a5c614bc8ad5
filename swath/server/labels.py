"""Labels as one text in the database."""

from __future__ import annotations

from collections.abc import Sequence

LABEL_SEPARATOR = " "


def joined(labels: Sequence[str]) -> str:
    """Labels as one text: sorted, each once."""
    return LABEL_SEPARATOR.join(sorted(set(labels)))


def split(text: str) -> tuple[str, ...]:
    """The labels of such a text."""
    return tuple(filter(None, text.split(LABEL_SEPARATOR)))
