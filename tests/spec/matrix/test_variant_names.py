"""Names of variants: readable, safe as folders, each once, the same every time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.spec.matrix.variant_names import MAX_LENGTH, canonical, names

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=4,
)
FIELDS = st.sampled_from(["area", "model", "output.preview", "input.preview", "Model", "steps.0.size"])


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        (
            [
                {"area": "areas/a.geojson", "model": "models/x.pt2"},
                {"area": "areas/b.geojson", "model": "models/x.pt2"},
            ],
            ["area=a,model=x", "area=b,model=x"],
        ),
        ([{"model": "one/x.pt2"}, {"model": "two/x.pt2"}], ["model=one-x.pt2", "model=two-x.pt2"]),
        ([{"output.preview": True}, {"output.preview": False}], ["preview=true", "preview=false"]),
        ([{"a.size": 1, "b.size": 2}], ["a.size=1,b.size=2"]),
        ([{"area": [-78.1, 25, -77, 26.5]}], ["area=-78.1_25_-77_26.5"]),
        ([{"area": {"path": "a/b.gpkg", "where": "x = 1"}}], ["area=b"]),
        ([{"t": 0.5}, {"t": -1}, {"t": None}], ["t=0.5", "t=-1", "t=none"]),
        ([{"v": "v1.2"}, {"v": "v1.3"}], ["v=v1.2", "v=v1.3"]),
    ],
)
def test_a_variant_is_named_after_what_is_last_in_its_values(variants: list[dict[str, Any]], told: list[str]) -> None:
    assert names(variants) == told


def test_values_that_differ_in_case_or_type_only_have_names_that_differ_in_more() -> None:
    found = names([{"t": "a"}, {"t": "A"}, {"t": True}, {"t": "true"}, {"t": "../a"}])
    assert len({name.casefold() for name in found}) == 5


@given(st.lists(st.dictionaries(FIELDS, VALUES, min_size=1, max_size=4), min_size=1, max_size=8, unique_by=canonical))
def test_names_are_safe_short_stable_and_each_once(variants: list[dict[str, Any]]) -> None:
    found = names(variants)
    assert len({name.casefold() for name in found}) == len(variants)
    assert all(re.fullmatch(r"[A-Za-z0-9._+=,-]+", name) and len(name) <= MAX_LENGTH + 9 for name in found)
    assert all(name not in (".", "..") and name[0] not in ".-" for name in found)
    assert names(variants) == found
