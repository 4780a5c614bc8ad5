"""A spec with a matrix becomes its variants, or every mistake at once, each where it stands."""

from __future__ import annotations

from pathlib import Path

from tests.spec.matrix.samples import mistakes, read, values


def test_a_matrix_is_the_cross_product_and_the_first_field_changes_slowest() -> None:
    loaded = read("matrix:\n  count: [1, 2]\n  how: [fast, exact]\nflag: true\n")
    assert [variant.name for variant in loaded.variants] == [
        "count=1,how=fast", "count=1,how=exact", "count=2,how=fast", "count=2,how=exact",
    ]  # fmt: skip
    assert [(s.count, s.how, s.flag) for s in loaded.specs] == [  # type: ignore[attr-defined]
        (1, "fast", True), (1, "exact", True), (2, "fast", True), (2, "exact", True),
    ]  # fmt: skip
    assert loaded.spec is loaded.variants[0].spec
    assert {spec.name for spec in loaded.specs} == {"f"}


def test_a_spec_without_a_matrix_has_no_variants_and_one_spec() -> None:
    loaded = read("count: 1\n")
    assert (loaded.variants, loaded.specs) == ((), (loaded.spec,))


def test_each_variant_publishes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    for said in ("output: out\n", "output: {to: out/}\n"):
        specs = read(f"matrix: {{count: [1, 2]}}\n{said}", root=tmp_path).specs
        assert [s.output.to for s in specs] == [str(tmp_path / f"out/count={n}") for n in (1, 2)]  # type: ignore[attr-defined]
    remote = read("matrix: {count: [1]}\noutput: s3://maps/all\n", root=tmp_path).specs
    assert [s.output.to for s in remote] == ["s3://maps/all/count=1"]  # type: ignore[attr-defined]


def test_a_folder_of_a_variant_that_is_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "project/out").mkdir(parents=True)
    (tmp_path / "project/out/count=1").symlink_to(tmp_path)
    (found,) = mistakes("matrix: {count: [1]}\noutput: out\n", root=tmp_path / "project")
    assert "leaves the project's folder" in found


def test_variants_that_place_their_output_themselves_get_no_folder_more(tmp_path: Path) -> None:
    loaded = read("matrix: {include: [{count: 1, output.to: a}, {count: 2, output: b}]}\n", root=tmp_path)
    assert [s.output.to for s in loaded.specs] == [str(tmp_path / "a"), str(tmp_path / "b")]  # type: ignore[attr-defined]


def test_values_of_the_command_line_go_into_the_matrix() -> None:
    text = "matrix: {count: [1, 2]}\n"
    assert values(text, "matrix.count=[5]") == [{"count": 5}]
    assert values(text, "matrix.count.1=7") == [{"count": 1}, {"count": 7}]
    assert values(text, "matrix.step.size=[3, 4]", "matrix.count=[1]") == [
        {"count": 1, "step.size": 3}, {"count": 1, "step.size": 4},
    ]  # fmt: skip
    assert values(text, "matrix.include=[{count: 3}]", "matrix.include.0.step.size=9")[-1] == {
        "count": 3,
        "step.size": 9,
    }
    assert values("count: 1\n", "matrix.how=[a, b]") == [{"how": "a"}, {"how": "b"}]
    assert mistakes(text, "matrix.count=[1, x]") == [
        "--set matrix.count:1:5: matrix.count.1: expected a whole number, got text"
    ]


def test_a_value_of_the_command_line_that_no_variant_would_take_is_a_mistake() -> None:
    (found,) = mistakes("matrix: {count: [1, 2]}\n", "count=3")
    assert "set matrix.count instead" in found
    assert values("count: 0\nmatrix: {include: [{count: 1}, {how: x}]}\n", "count=3") == [{"count": 1}, {"how": "x"}]


def test_the_environment_is_read_in_a_matrix_and_shown_nowhere(tmp_path: Path) -> None:
    env = {"A": "canary-7f3a9", "B": "canary-8e2b1"}
    loaded = read("count: 1\nmatrix: {how: ['${env:A}', '${env:B}']}\noutput: out\n", root=tmp_path, env=env)
    assert [spec.how for spec in loaded.specs] == list(env.values())  # type: ignore[attr-defined]
    assert set(loaded.secrets) == set(env.values())
    assert [variant.name for variant in loaded.variants] == ["how=env-A", "how=env-B"]
    assert "canary" not in str([variant.values for variant in loaded.variants])
    (found,) = mistakes("count: 1\nmatrix: {how: ['${env:A}', '${env:C}']}\n", env=env)
    assert found == "f.yaml:3:28: matrix.how.1: the environment variable C is not set"


def test_the_same_text_and_overrides_make_the_same_variants(tmp_path: Path) -> None:
    text = "matrix: {count: [3, 1, 2], how: [b, a], exclude: [{count: 1, how: a}], include: [{count: 9}]}\noutput: o\n"
    first, second = (read(text, "matrix.count=[3, 1]", root=tmp_path) for _ in range(2))
    assert first.variants == second.variants
