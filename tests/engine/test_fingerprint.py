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

from swath.engine.code_hash import code_fingerprint
from swath.engine.fingerprint import fingerprint

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


def make(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "project_x.file"}
    exec(source, space)
    return space["f"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def f(x): return x + 1", "def f(x): return x + 2"),
        ("def g(x): return 1\ndef f(x): return g(x)", "def g(x): return 2\ndef f(x): return g(x)"),
        ("K = 1\ndef f(x): return K", "K = 2\ndef f(x): return K"),
        ("def f(x, y=1): return y", "def f(x, y=2): return y"),
        ("def f(x): return [v + 1 for v in x]", "def f(x): return [v + 2 for v in x]"),
        ("def f(x): return x.real", "def f(x): return x.imag"),
    ],
    ids=["body", "function it names", "constant it names", "default", "nested code", "attribute"],
)
def test_a_change_of_code_changes_its_fingerprint(before: str, after: str) -> None:
    assert code_fingerprint(make(before)) != code_fingerprint(make(after))
    assert code_fingerprint(make(before)) == code_fingerprint(make(before))


def test_comments_docstrings_and_place_do_not_change_a_codes_fingerprint() -> None:
    assert code_fingerprint(make("def f(x):\n    'one'\n    return x")) == code_fingerprint(
        make("# moved\n\n\ndef f(x):\n    'two'\n    # why\n    return x")
    )


def test_an_enum_is_known_by_its_name() -> None:
    assert fingerprint(Colour.RED) != fingerprint(1)
