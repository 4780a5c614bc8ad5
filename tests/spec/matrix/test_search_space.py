"""A search tries some variants of a matrix: the same ones for a seed, each once, none that is excluded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import SpecError
from swath.spec.matrix.search_space import SearchSpace
from tests.spec.matrix.samples import read

LISTS = "matrix:\n  count: [1, 2, 3, 4, 5]\n  how: [fast, slow, steady]\n"


def tried(text: str) -> list[dict[str, object]]:
    return [variant.values for variant in read(text).variants]


def test_a_search_tries_so_many_different_variants_and_the_same_ones_for_a_seed():
    found = tried(LISTS + "search: {random: 6, seed: 3}\n")
    assert len(found) == 6
    assert len({tuple(one.values()) for one in found}) == 6
    assert found == tried(LISTS + "search: {random: 6, seed: 3}\n")
    assert found != tried(LISTS + "search: {random: 6, seed: 4}\n")


def test_a_search_of_more_than_there_is_tries_everything_once():
    assert tried(LISTS + "search: {random: 40}\n") == tried(LISTS)


def test_what_is_excluded_is_not_tried_and_what_is_included_always_is():
    text = LISTS + "  exclude: [{how: fast}]\n  include: [{count: 9, how: odd}]\nsearch: {random: 9}\n"
    found = tried(text)
    assert len(found) == 10
    assert found[-1] == {"count": 9, "how": "odd"}
    assert all(one["how"] != "fast" for one in found)


def test_a_range_gives_each_trial_a_number_of_its_own():
    text = "count: 1\nmatrix:\n  step.size: {between: [1, 1000], scale: log}\n  how: [fast, slow]\nsearch: {random: 8, seed: 1}\n"
    loaded = read(text)
    sizes = [variant.values["step.size"] for variant in loaded.variants]
    assert len(sizes) == 8
    assert all(isinstance(size, int) and 1 <= size <= 1000 for size in sizes)
    # One in each eighth of the range: half of them are below its middle.
    assert sum(size < 1000**0.5 for size in sizes) in (3, 4, 5)
    assert [variant.spec.step.size for variant in loaded.variants] == sizes  # type: ignore[attr-defined]


@given(
    st.integers(1, 64),
    st.integers(0, 99),
    st.floats(1e-6, 1e3),
    st.floats(1.01, 1e4),
    st.sampled_from(["linear", "log"]),
)
def test_numbers_stay_in_their_range_one_in_each_part_of_it(count, seed, low, factor, scale):
    high = low * factor
    numbers = SearchSpace(count, seed).numbers("a", low, high, scale)
    assert len(numbers) == count
    assert all(low <= number <= high for number in numbers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("matrix:\n  count: {between: [1, 9]}\n", "f.yaml:3:10: matrix.count: a range needs trials"),
        (
            "matrix:\n  count: {between: [9, 1]}\nsearch: {random: 3}\n",
            "f.yaml:3:10: matrix.count: expected a range such as",
        ),
        ("matrix:\n  count: {between: [0, 1], scale: log}\nsearch: {random: 3}\n", "begins above 0"),
        ("matrix:\n  count: {between: [0, 1], scale: cubic}\nsearch: {random: 3}\n", "scale is one of linear, log"),
        ("matrix:\n  count: {between: [0, 1], stepp: 1}\nsearch: {random: 3}\n", "a range has no stepp"),
        ("count: 1\nsearch: {random: 3}\n", "f.yaml:3:9: search: needs a matrix"),
        (LISTS + "search: {random: 0}\n", "search.random"),
        (LISTS + "search: {rondom: 3}\n", "did you mean 'random'?"),
    ],
)
def test_a_wrong_search_is_told_where_it_stands(text, message):
    with pytest.raises(SpecError) as caught:
        read(text)
    assert message in str(caught.value)


def test_the_other_values_of_a_range_are_checked_like_any():
    with pytest.raises(SpecError, match=r"matrix\.step\.size"):
        read("count: 1\nmatrix:\n  step.size: {between: [-9, -1]}\nsearch: {random: 3}\n")
