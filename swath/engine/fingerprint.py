"""Fingerprints of values, functions and tasks included: equal for equal values in any process, so that finished calls are
found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from swath.engine.code_hash import register_code
from swath.engine.value_hash import DIGITS, feed, hex_digest

register_code()


def fingerprint(value: Any) -> str:
    """Hex digest of a value, DIGITS long. What cannot be taken apart is hashed by its pickle."""
    return hex_digest(value)


def fingerprints_after(prefix: Any) -> Callable[[Any], str]:
    """A function that gives the fingerprint of `prefix` and a value together, for many values after one prefix."""
    base = hashlib.sha256()
    feed(base, prefix)

    def after(value: Any) -> str:
        state = base.copy()
        feed(state, value)
        return state.hexdigest()[:DIGITS]

    return after
