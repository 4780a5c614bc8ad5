from __future__ import annotations

from pathlib import Path

from tests.spec.matrix.samples import mistakes, read


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


def test_the_placeholder_is_the_name_of_the_variant_in_every_output_path(tmp_path: Path) -> None:
    found = read(
        "matrix: {count: [1, 2]}\noutput: maps/{variant}/v1\nlog: logs/{variant}.log\n", root=tmp_path
    ).variants
    folders = [variant.spec.parameters()["output"].to for variant in found]
    assert folders == [f"{tmp_path}/maps/count=1/v1", f"{tmp_path}/maps/count=2/v1"]
    logs = [variant.spec.parameters()["log"] for variant in found]
    assert logs == [f"{tmp_path}/logs/count=1.log", f"{tmp_path}/logs/count=2.log"]


def test_the_placeholder_is_filled_where_the_matrix_varies_the_folder_and_in_overrides(tmp_path: Path) -> None:
    found = read("matrix: {count: [1], output.to: ['a/{variant}', 'b/{variant}-x']}\n", root=tmp_path).variants
    names = [variant.name for variant in found]
    folders = [variant.spec.parameters()["output"].to for variant in found]
    assert folders == [f"{tmp_path}/a/{names[0]}", f"{tmp_path}/b/{names[1]}-x"]
    (only,) = read("matrix: {count: [1]}\noutput: out\n", "output.to=other/{variant}", root=tmp_path).variants
    assert only.spec.parameters()["output"].to == f"{tmp_path}/other/count=1"


def test_the_placeholder_without_a_matrix_is_a_mistake_at_its_place(tmp_path: Path) -> None:
    found = mistakes("count: 1\noutput: {to: 'out/{variant}'}\nlog: 'a/{variant}'\n", root=tmp_path)
    assert found == [
        "f.yaml:3:14: output.to: {variant} is the name of a variant, and there is no matrix",
        "f.yaml:4:6: log: {variant} is the name of a variant, and there is no matrix",
    ]
