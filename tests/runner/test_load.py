"""Where jobs come from, and the values that are put over a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.errors import SpecError, UsageError
from swath.runner.load import load, override_texts, project_of
from swath.spec.yaml.override import read

PIPELINE = """
from swath import Output, Spec, pipeline, task

class Values(Spec):
    text: str = ""
    number: float = 0
    words: tuple[str, ...] = ()
    table: dict[str, int] = {}
    output: Output | None = None

@task
def take(x):
    return x

@pipeline
def values(spec: Values):
    return take(spec.text)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/values.py").write_text(PIPELINE)
    (tmp_path / "swath.yaml").write_text("clusters: {two: {kind: local, workers: 2}}\n")
    file = tmp_path / "spec.yaml"
    file.write_text("pipeline: values\nwords: [a]\n")
    return file


@pytest.mark.parametrize(
    "value",
    [
        *(
            "plain",
            "",
            "no",
            "null",
            "1.5",
            "a: b",
            "[a",
            "# x",
            " space ",
            "two\nlines",
            "${env:HOME",
            "ü",
            "'",
            '"',
            "\\",
            "*",
        ),
        *(1, -2.5, 1e-9, 1e300, True, False, None, ["a", 1], {"a": [1, {"b": None}]}, (1, 2)),
    ],
    ids=repr,
)
def test_a_value_reads_as_itself(value: Any) -> None:
    (text,) = override_texts({"a.b": value})
    (found,), mistakes = read([text])
    assert not mistakes
    assert found.keys == ("a", "b")
    assert found.value.data == (list(value) if isinstance(value, tuple) else value)


def test_values_are_put_over_the_spec_with_their_types(spec: Path) -> None:
    given = {
        "text": "1.5",
        "number": 2,
        "words": ["no", "b"],
        "words.0": "c",
        "table.x": 3,
        "output.to": spec.parent / "out",
    }
    found = load(spec, given).spec
    assert found.parameters() | {"output": None} == {
        "text": "1.5", "number": 2.0, "words": ("c", "b"), "table": {"x": 3}, "output": None,
    }  # fmt: skip
    assert found.parameters()["output"].to == str(spec.parent / "out")


def test_values_may_be_texts_as_the_command_has_them(spec: Path) -> None:
    assert load(spec, ["number=2", "words=[x, y]"]).spec.parameters()["words"] == ("x", "y")
    assert load(str(spec), "number=3").spec.parameters()["number"] == 3


def test_the_cluster_goes_before_that_of_the_spec(spec: Path) -> None:
    assert load(spec, cluster="inline").spec.cluster.kind == "inline"
    assert load(spec, cluster="two").spec.cluster.workers.min == 2  # type: ignore[union-attr]


def test_a_value_that_yaml_cannot_hold_is_named() -> None:
    with pytest.raises(UsageError, match=r"set: the value of 'a' cannot stand in a spec: a object"):
        override_texts({"a": object()})
    with pytest.raises(UsageError, match="'b'"):
        override_texts({"b": float("nan")})


def test_a_mistake_in_a_value_names_its_key(spec: Path) -> None:
    with pytest.raises(SpecError, match=r'set\["number"\]:1:1: number: '):
        load(spec, {"number": "many"})


def test_the_state_of_a_folder_without_a_project_is_where_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWATH_HOME")
    monkeypatch.chdir(tmp_path)
    assert project_of(tmp_path / "elsewhere").state == tmp_path / ".swath"
    (tmp_path / "own").mkdir()
    (tmp_path / "own/swath.yaml").write_text("")
    assert project_of(tmp_path / "own").state == tmp_path / "own/.swath"


def test_messages_name_the_arguments_of_the_function_or_the_options_of_the_command(spec: Path) -> None:
    with pytest.raises(SpecError) as of_the_library:
        load(spec, {"number": "many"}, cluster="nowhere")
    assert [mistake.file for mistake in of_the_library.value.mistakes] == ["cluster", 'set["number"]']
    with pytest.raises(SpecError) as of_the_command:
        load(spec, ["number=many"], cluster="nowhere", trust=False)
    assert {mistake.file for mistake in of_the_command.value.mistakes} >= {"--cluster"}
