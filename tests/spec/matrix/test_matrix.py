"""A spec with a matrix becomes its variants, or every mistake at once, each where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import Field

from swath.errors import PipelineError, SpecError
from swath.spec.base import Spec
from swath.spec.fields.output import Output
from swath.spec.fields.paths import OutputPath
from swath.spec.loading.load import LoadedSpec, parse
from swath.spec.loading.schema import schema, schemas
from swath.spec.matrix.matrix import MAX_VARIANTS
from swath.spec.project_file import ProjectFolder
from swath.spec.spec_model import SpecModel


class Step(SpecModel):
    """One step."""

    name: str = "s"
    size: int = Field(default=1, ge=1)


class Flood(Spec):
    """A small pipeline's spec."""

    count: int
    """How many."""
    how: str = "fast"
    flag: bool = False
    area: str = ""
    model: str = ""
    steps: tuple[Step, ...] = ()
    step: Step = Step()
    output: Output | None = None
    log: OutputPath | None = None


def read(text: str, *overrides: str, root: Path | None = None, env: dict[str, str] | None = None) -> LoadedSpec:
    home = ProjectFolder(root) if root else None
    return parse(
        f"pipeline: flood\n{text}",
        "f.yaml",
        overrides,
        None,
        home,
        find=lambda _: Flood,
        names=["flood"],
        env=env or {},
    )


def values(text: str, *overrides: str, **said: Any) -> list[dict[str, Any]]:
    return [variant.values for variant in read(text, *overrides, **said).variants]


def mistakes(text: str, *overrides: str, **said: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text, *overrides, **said)
    return str(caught.value).splitlines()


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


def test_a_mistake_of_some_variants_only_says_which() -> None:
    (found,) = mistakes("matrix: {how: [a, b], include: [{area: x}, {area: x, count: 1, how: c}]}\n")
    assert found == "f.yaml:1:1: count: missing; it must be given (in the variant how=a,area=x and 1 more)"


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


def test_a_pipeline_cannot_have_a_field_called_matrix() -> None:
    with pytest.raises(PipelineError, match="belongs to every spec"):
        type("Wrong", (Spec,), {"__annotations__": {"matrix": int}})


@pytest.mark.parametrize("described", [schema(Flood, "flood"), schemas({"flood": Flood})], ids=["one", "all"])
def test_the_schema_knows_the_matrix_and_lets_required_fields_stand_there(described: dict[str, Any]) -> None:
    Draft7Validator.check_schema(described)
    validator = Draft7Validator(described)

    def fits(**fields: Any) -> bool:
        return bool(validator.is_valid({"pipeline": "flood", **fields}))

    assert fits(matrix={"count": [1, 2], "output.preview": [True], "exclude": [{"count": 1}]})
    assert fits(matrix={"include": [{"count": 1, "output.to": "a"}]})
    assert not fits()
    assert not fits(matrix={"count": ["one"]})
    assert not fits(matrix={"count": []})
    assert not fits(matrix={"cuont": [1]})
    assert not fits(matrix={"count": 1})
    assert not fits(matrix={})
    assert not fits(matrix={"cluster": ["local"]})
    assert not fits(matrix={"count": [1], "include": [{"cuont": 1}]})
