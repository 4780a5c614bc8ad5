from __future__ import annotations

import hashlib

import pytest

from swath.engine import value_hash
from swath.engine.value_hash import DIGITS, feed, hex_digest, register


class Odd:
    def __init__(self, value: int, cache: object) -> None:
        self.value = value
        self.cache = cache


class OddChild(Odd):
    """Hashed as its base class."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_hash, "_FEEDERS", dict(value_hash._FEEDERS))
    register(f"{Odd.__module__}.{Odd.__qualname__}", lambda state, odd: feed(state, ("odd", odd.value)))


def test_a_registered_class_and_its_children_are_hashed_by_what_counts() -> None:
    assert hex_digest(Odd(1, "x")) == hex_digest(Odd(1, "y")) == hex_digest(("odd", 1))
    assert hex_digest([OddChild(1, "x")]) == hex_digest([Odd(1, "y")])
    assert hex_digest(Odd(1, "x")) != hex_digest(Odd(2, "x"))


def test_plain_values_have_the_same_digest_with_and_without_the_short_way() -> None:
    for value in (None, True, 3, 2.5, 1 + 2j, "a\ud800"):
        state = hashlib.sha256()
        feed(state, value)
        assert hex_digest(value) == state.hexdigest()[:DIGITS]
