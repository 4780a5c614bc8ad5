"""Text for a terminal: without control characters, and how many columns it takes."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Text without control characters, so that what a task wrote cannot steer the terminal. Line ends and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
