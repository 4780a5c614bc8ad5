"""Flows of flows: a project's pipeline uses others as steps, maps them, and goes on with what they return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.process import Pipe

SURVEY = """
from swath import SKIPPED, Area, Imagery, ModelRef, Output, Spec, pipeline, task
from swath.pipelines.predict import Predict, predict


class Survey(Spec):
    areas: tuple[Area, ...]
    imagery: Imagery
    model: ModelRef
    output: Output
    compare_from: int = 0


@task
def specs_of(survey, areas):
    return [
        Predict(area=area, imagery=survey.imagery, model=survey.model, region=64,
                output=Output(to=f"{survey.output.to}/{number}", vectors=False, preview=False, blocksize=64))
        for number, area in enumerate(areas)
    ]


@task
def worth_it(areas, least):
    return len(areas) >= least


@task
def compare(maps):
    return {"maps": len(maps), "water": [map.report()["numbers"]["class-1 %"] for map in maps]}


@task(takes_skipped=True)
def told(compared, whole):
    return {**({} if compared is SKIPPED else compared), "whole": whole.report()["numbers"]["valid pixels"]}


@pipeline
def survey(spec: Survey):
    maps = predict.map(specs_of(spec, spec.areas))          # how many is known at run time
    compared = compare(maps, when=worth_it(spec.areas, spec.compare_from))
    whole = predict(Predict(imagery=spec.imagery, model=spec.model, region=256,
                            output=Output(to=f"{spec.output.to}/whole", vectors=False, preview=False, blocksize=64)))
    return told(compared, whole)


class Surveys(Spec):
    each: tuple[Survey, ...]


@task
def add(results):
    return sum(result["whole"] for result in results)


@pipeline
def surveys(spec: Surveys):
    return add(survey.map(list(spec.each)))
"""

PLAIN = """
from swath import Spec, either, pipeline, task


class One(Spec):
    number: int


class Many(Spec):
    numbers: tuple[int, ...]
    least: int = 0


@task
def double(number):
    if number == 13:
        raise ValueError("13 is not doubled")
    return 2 * number


@task
def plain_specs(numbers):
    return [{"number": number} for number in numbers]


@task
def add(values):
    return sum(values)


@task
def enough(total, least):
    return total >= least


@pipeline
def one(spec: One):
    if spec.number < 0:
        raise ValueError("a negative number cannot be a graph")
    return double(spec.number)


@pipeline
def twice(spec: One):
    return double(one(spec))


@pipeline
def many(spec: Many):
    total = add(twice.map(plain_specs(spec.numbers)))
    more = enough(total, spec.least)
    return either(one(One(number=1), when=more), total)


@pipeline
def most(spec: Many):
    return add([many(spec), many(Many(numbers=(1,)))])
"""

AREAS = ("[-78.0, 24.5, -77.9, 24.6]", "[-77.95, 24.55, -77.85, 24.65]", "[10, 45, 11, 46]")
"""The last is not on the imagery."""


@pytest.fixture
def project(pipe: Pipe) -> Pipe:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "survey.py").write_text(SURVEY)
    (pipe.folder / "pipelines" / "plain.py").write_text(PLAIN)
    return pipe


def run(project: Pipe, text: str, code: int = 0) -> list[dict[str, Any]]:
    """The events of a run of a spec."""
    (project.folder / "spec.yaml").write_text(f"cluster: inline\n{text}")
    return project("run", "spec.yaml", "--json", code=code).events


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("pipeline: many\nnumbers: [1, 2, 3]\nleast: 100\n", "24"),  # the step was skipped: the total goes on
        ("pipeline: many\nnumbers: [1, 2, 3]\n", "2"),
        ("pipeline: most\nnumbers: [5]\nleast: 100\n", "22"),  # many inside, twice inside that, one inside that
    ],
)
def test_steps_chain_by_their_results_nest_three_deep_and_are_skipped(project: Pipe, text: str, result: str) -> None:
    end = run(project, text)[-1]
    assert (end["exit_code"], end["outputs"]) == (0, [result])


def test_a_spec_error_of_one_mapped_item_sets_only_that_item_aside(project: Pipe) -> None:
    end = run(project, "pipeline: many\nnumbers: [1, 3, -4]\nleast: 100\n", code=3)[-1]
    assert end["set_aside"] == ["twice[2]/one: a negative number cannot be a graph"]
    assert end["outputs"] == ["16"]


def test_an_item_whose_task_fails_is_set_aside_and_the_rest_is_added_up(project: Pipe) -> None:
    end = run(project, "pipeline: many\nnumbers: [1, 13, 3]\nleast: 100\n", code=3)[-1]
    assert (end["outputs"], len(end["set_aside"])) == (["16"], 1)
    assert end["set_aside"][0].startswith("twice[1]/one/double: ValueError: 13 is not doubled")


def test_a_matrix_of_a_pipeline_of_pipelines(project: Pipe) -> None:
    end = run(project, "pipeline: many\nleast: 100\nmatrix: {numbers: [[1], [1, 2], [13]]}\n", code=3)[-1]
    assert [(row["variant"], row["state"], row["numbers"]) for row in end["table"]] == [
        ("numbers=1", "done", {"result": 4}), ("numbers=1_2", "done", {"result": 12}), ("numbers=13", "failed", {}),
    ]  # fmt: skip


def test_a_spec_of_the_project_can_name_specs_of_other_pipelines_part_by_part(project: Pipe) -> None:
    (project.folder / "spec.yaml").write_text(
        "pipeline: surveys\neach:\n- {areas: [nowhere.geojson], imagery: {source: files, paths: [none.tif]}, output: out}\n"
    )
    done = project("check", "spec.yaml", code=2)
    assert "spec.yaml:3:12: each.0.areas.0: there is no such file" in done.err
    assert "spec.yaml:3:3: each.0.model: missing" in done.err


@pytest.mark.slow
def test_predict_is_mapped_over_areas_and_its_maps_are_compared_in_one_run(project: Pipe, shared: Path) -> None:
    from tests.models.tiny_models import write_integer_unet

    model = write_integer_unet(project.folder)
    image = shared / "data/imagery/bahamas_rgb.tif"
    common = f"imagery: {{source: files, paths: [{image}], names: [red, green, blue]}}, model: {model}"
    survey = "{" + f"areas: [{', '.join(AREAS)}], {common}, output: out" + "}"
    events = run(project, f"pipeline: surveys\neach: [{survey}]\n", code=3)
    end = events[-1]
    assert end["set_aside"][0].startswith("survey[0]/predict[2]/find_imagery: the area")
    assert len(end["set_aside"]) == 1
    assert sorted(p.name for p in (project.folder / "out").iterdir() if not p.name.startswith(".")) == [
        "0",
        "1",
        "whole",
    ]
    import rasterio

    with rasterio.open(project.folder / "out/whole/map.tif") as whole:
        valid = int((whole.read(1) != whole.nodata).sum())
        for name in ("0", "1"):
            with rasterio.open(project.folder / f"out/{name}/map.tif") as part:
                inside = part.read(1)
                window = whole.window(*part.bounds).round_offsets().round_lengths()
                same = inside == whole.read(1, window=window)
                assert same[inside != part.nodata].all()
                assert (inside != part.nodata).any()
    assert end["outputs"] == [str(valid)]
    assert json.loads(project("runs", "show", "last", "--json").out)["status"] == "partial"
