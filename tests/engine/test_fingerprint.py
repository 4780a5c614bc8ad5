from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.engine.fingerprint import fingerprint, fingerprints_after
from swath.graph.task import task

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Point:
    x: int
    y: object


class Colour(Enum):
    RED = 1


@given(plain, plain)
def test_values_have_one_fingerprint_exactly_when_they_are_equal_in_type_and_content(a: Any, b: Any) -> None:
    same = repr(a) == repr(b)
    if not isinstance(a, dict) or not isinstance(b, dict):
        assert (fingerprint(a) == fingerprint(b)) == same or a == b
    assert fingerprint(a) == fingerprint(a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0), (1, True), ("1", 1), (b"a", "a"), ([1, 2], (1, 2)), ([[1], 2], [1, [2]]), (["ab"], ["a", "b"]), ({"a": 1}, {"a": 2}),
        (Point(1, 2), Point(2, 1)), (np.zeros(4), np.zeros((2, 2))), (np.zeros(2, "f4"), np.zeros(2, "f8")), (Path("a"), "a"),
    ],
)  # fmt: skip
def test_different_values_have_different_fingerprints(a: Any, b: Any) -> None:
    assert fingerprint(a) != fingerprint(b)


def test_the_order_of_a_mapping_or_set_does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": {3, 1, 2}}) == fingerprint({"b": {2, 3, 1}, "a": 1})


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from swath.engine.fingerprint import fingerprint; from odc.geo.geobox import GeoBox;"
        "print(fingerprint({'a': {'x', 'y', 'z'}, 'b': GeoBox.from_bbox((0, 0, 1, 1), 'EPSG:4326', shape=(3, 4))}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    here = fingerprint({"b": GeoBox.from_bbox((0, 0, 1, 1), "EPSG:4326", shape=(3, 4)), "a": {"z", "y", "x"}})
    assert found == {here + "\n"}


def test_an_enum_is_known_by_its_name() -> None:
    assert fingerprint(Colour.RED) != fingerprint(1)


def test_functions_and_tasks_among_values_are_known_by_their_code() -> None:
    def one(x: int) -> int:
        return x + 1

    def other(x: int) -> int:
        return x + 2

    assert fingerprint([one]) != fingerprint([other])
    assert fingerprint(task(one)) != fingerprint(task(other))
    assert fingerprint(task(one)) != fingerprint(task(one).options(version="2"))
    assert fingerprint(task(one)) == fingerprint(task(one).options(retries=3))


@given(plain, plain, plain)
def test_a_fingerprint_after_a_prefix_is_one_of_both_together(prefix: Any, a: Any, b: Any) -> None:
    after = fingerprints_after(prefix)
    assert (after(a) == after(b)) == (fingerprint(a) == fingerprint(b))
    assert after(a) == fingerprints_after(prefix)(a)
