"""Suggestions for misspelled names: `did you mean` in messages."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word with the most similar spelling; empty if none is similar."""
    import difflib

    names = list(known)
    lowered = {name.lower(): name for name in names}
    if found := lowered.get(word.lower()):
        return found if found != word else ""
    matches = difflib.get_close_matches(word, names, 1)
    return matches[0] if matches else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or an empty text."""
    found = nearest(word, known)
    return f" (did you mean {found!r}?)" if found else ""
