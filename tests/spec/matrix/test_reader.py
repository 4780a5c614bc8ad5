from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.spec.matrix.matrix import MAX_VARIANTS
from tests.spec.matrix.samples import mistakes, values


def test_exclude_leaves_out_and_include_adds_in_the_manner_of_github_actions() -> None:
    # The example of GitHub's documentation, "Expanding or adding matrix configurations", with other names.
    found = values(
        "count: 0\nmatrix:\n  area: [apple, pear]\n  model: [cat, dog]\n  include:\n"
        "  - {how: green}\n  - {how: pink, model: cat}\n  - {area: apple, flag: true}\n  - {area: banana}\n"
        "  - {area: banana, model: cat}\n"
    )
    assert found == [
        {"area": "apple", "model": "cat", "how": "pink", "flag": True},
        {"area": "apple", "model": "dog", "how": "green", "flag": True},
        {"area": "pear", "model": "cat", "how": "pink"},
        {"area": "pear", "model": "dog", "how": "green"},
        {"area": "banana"},
        {"area": "banana", "model": "cat"},
    ]
    assert values("matrix: {count: [1, 2], how: [a, b], exclude: [{count: 1, how: b}, {count: 2}]}\n") == [
        {"count": 1, "how": "a"}
    ]


def test_a_matrix_of_include_alone_is_a_list_of_variants() -> None:
    assert values("matrix: {include: [{count: 1}, {count: 2, how: x}]}\n") == [{"count": 1}, {"count": 2, "how": "x"}]


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcd")), max_size=3),
)
def test_the_variants_are_the_product_without_what_is_excluded(
    counts: list[int], hows: list[str], gone: list[tuple[int, str]]
) -> None:
    gone = [(c, h) for c, h in gone if c in counts and h in hows]
    exclude = "".join(f"  - {{count: {c}, how: {h}}}\n" for c, h in gone)
    text = f"matrix:\n  count: {counts}\n  how: [{', '.join(hows)}]\n" + (f"  exclude:\n{exclude}" if gone else "")
    expected = [{"count": c, "how": h} for c in counts for h in hows if (c, h) not in gone]
    if expected:
        assert values(text) == expected
    else:
        assert "leaves no variant" in mistakes(text)[0]


def test_every_mistake_is_told_at_once_at_the_value_that_is_wrong() -> None:
    found = mistakes(
        "matrix:\n"
        "  count: [1, two, 1]\n"
        "  cuont: [1]\n"
        "  output.previw: [true]\n"
        "  step.size: [0]\n"
        "  cluster: [local]\n"
        "  flag: true\n"
        "  model: []\n"
        "  exclude:\n"
        "  - {how: fast}\n"
        "  - {count: 7}\n"
        "  - 3\n"
        "  include:\n"
        "  - {count: 3, arae: x}\n"
        "  - {flag: big}\n"
        "how: 3\n"
    )
    assert [line.rpartition(": ")[0].split(" ")[0] for line in found] == [f"f.yaml:{place}:" for place in (
        "3:14", "3:19", "4:3", "5:3", "6:15", "7:3", "8:9", "9:10", "11:6", "12:13", "13:5", "15:16", "16:12", "17:6"
    )]  # fmt: skip
    told = "\n".join(found)
    assert "matrix.count.1: expected a whole number, got text" in told
    assert "matrix.cuont: unknown field (did you mean 'count'?)" in told
    assert "matrix.output.previw: unknown field (did you mean 'preview'?)" in told
    assert "matrix.step.size.0: expected at least 1" in told
    assert "write it beside matrix" in told
    assert "matrix.include.0.arae: unknown field (did you mean 'area'?)" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("matrix: {}\ncount: 1\n", "2:9: matrix: is empty"),
        ("matrix:\ncount: 1\n", "2:8: matrix: expected a mapping of fields"),
        ("matrix: {how: [a, b]}\n", "1:1: count: missing; it must be given"),
        ("matrix: {count: [1], exclude: [{count: 1}]}\n", "matrix.exclude: leaves no variant"),
        ("matrix: {count: [1], include: [{count: 1}]}\n", "matrix.include.0: includes nothing"),
        ("matrix: {count: [1], include: [{count: 2}, {count: 2}]}\n", "matrix.include.1: includes nothing"),
        ("matrix: {count: [1], exclude: []}\n", "matrix.exclude: expected a list of mappings"),
        ("matrix: {count: [1], matrix: [1]}\n", "a matrix has no matrix in it"),
        ("matrix: {count: [1], pipeline: [a]}\n", "specs of other pipelines are runs of their own"),
        ("matrix: {count: [1], step: {size: [1, 2]}}\n", "nested fields are written with a dot, such as step.size"),
        ("matrix: {count: [1], exclud: [{count: 1}]}\n", "did you mean 'exclude'?"),
        ("matirx: {count: [1]}\ncount: 1\n", "did you mean 'matrix'?"),
        ("matrix: {count: [&a 1]}\n", "anchors (&a) are not allowed"),
    ],
)
def test_what_makes_no_sense_in_a_matrix_is_one_mistake_with_a_remedy(text: str, message: str) -> None:
    (found,) = mistakes(text)
    assert message in found


def test_more_variants_than_a_run_can_have_are_refused_at_once() -> None:
    (found,) = mistakes(f"matrix:\n  count: {list(range(1, 5000))}\n  step.size: {list(range(1, 5000))}\n")
    assert "makes 24,990,001 variants" in found
    assert str(MAX_VARIANTS) in found
