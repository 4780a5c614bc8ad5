"""Ids of runs."""

from __future__ import annotations

import re
import secrets
import time

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
RANDOM_LETTERS = 8
"""Five bits each: many runs of one name may start in one second, also on several hosts."""


_ID = re.compile(r"(?!\.{1,2}$)[^/\x00-\x1f\x7f]{1,200}")


def is_run_id(text: str) -> bool:
    """Whether a text can be the id of a run: it names a folder, and is shown."""
    return _ID.fullmatch(text) is not None


def new_run_id(name: str) -> str:
    """An id for a new run: the time (UTC), the name, and 40 random bits."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{moment}-{name}-{''.join(secrets.choice(LETTERS) for _ in range(RANDOM_LETTERS))}"
