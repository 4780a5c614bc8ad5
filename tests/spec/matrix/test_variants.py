from __future__ import annotations

from pathlib import Path

from tests.spec.matrix.samples import mistakes


def test_a_mistake_of_some_variants_only_says_which() -> None:
    (found,) = mistakes("matrix: {how: [a, b], include: [{area: x}, {area: x, count: 1, how: c}]}\n")
    assert found == "f.yaml:1:1: count: missing; it must be given (in the variant how=a,area=x and 1 more)"


def test_two_variants_with_one_output_are_a_mistake_that_names_both(tmp_path: Path) -> None:
    (found,) = mistakes("matrix: {count: [1, 2], output.to: [a]}\n", root=tmp_path)
    assert "matrix.output.to.0: count=1,to=a and count=2,to=a would both write to" in found
    (other,) = mistakes("matrix: {count: [1, 2]}\nlog: run.log\n", root=tmp_path)
    assert "f.yaml:3:6: log: count=1 and count=2 would both write to" in other
    (same,) = mistakes("matrix: {include: [{count: 1, output: a}, {count: 2, output: ./a/}]}\n", root=tmp_path)
    assert "would both write to" in same


def test_variants_that_ask_for_the_same_in_other_words_are_a_mistake(tmp_path: Path) -> None:
    (found,) = mistakes("count: 1\nmatrix: {steps: [[{name: a}], [{name: a, size: 1}]]}\n", root=tmp_path)
    assert "matrix.steps.1:" in found
    assert "ask for the same" in found
