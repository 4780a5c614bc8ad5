"""The specs that the project ships: right, and described by a schema that editors can use."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.process import ROOT, Pipe

SPECS = sorted((ROOT / "specs").glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(path.name.partition(".")[0] for path in (ROOT / "specs").glob("*.schema.json")))
def test_the_committed_schema_is_the_one_that_pipe_schema_prints(pipe: Pipe, name: str) -> None:
    assert (ROOT / f"specs/{name}.schema.json").read_text() == pipe("schema", name).out, "run `make schema`"


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_a_shipped_spec_fits_the_schema_that_it_names(spec: Path) -> None:
    first = spec.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((spec.parent / first.partition("=")[2]).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(spec.read_text()))


def test_five_mistakes_are_five_lines_with_their_places_and_exit_code_2(pipe: Pipe) -> None:
    (pipe.folder / "bad.yaml").write_text(
        "pipeline: predict\n"
        "imagery: {source: files, paths: [nowhere/*.tif], mosiac: first}\n"
        "model: nowhere.pt2\n"
        "output: ../../elsewhere\n"
        "region: big\n"
    )
    done = pipe("run", "bad.yaml", code=2)
    lines = [line for line in done.err.splitlines() if line.startswith("bad.yaml:")]
    assert [line.split(" ")[0] for line in lines] == [
        "bad.yaml:2:34:", "bad.yaml:2:50:", "bad.yaml:3:8:", "bad.yaml:4:9:", "bad.yaml:5:9:",
    ]  # fmt: skip
    assert "did you mean 'mosaic'" in done.err
    assert not (pipe.folder / ".swath").exists()


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_the_specs_for_clouds_are_right_as_they_are(pipe: Pipe, cloud: str) -> None:
    for name in (f"specs/predict-{cloud}.yaml", "data/landsat.tif", "models/water.pt2"):
        (pipe.folder / name).parent.mkdir(exist_ok=True)
        (pipe.folder / name).write_bytes((ROOT / name).read_bytes() if name.startswith("specs") else b"")
    pipe("check", "--offline", f"specs/predict-{cloud}.yaml")
    spec = (pipe.folder / f"specs/predict-{cloud}.yaml").read_text()
    (pipe.folder / "unstaged.yaml").write_text(spec.replace("\nstage:", "\n# stage:"))
    done = pipe("check", "--offline", "unstaged.yaml", code=2)
    places = [line.split(" ")[0] for line in done.err.splitlines() if line.startswith("unstaged.yaml:")]
    assert [place.split(":")[1] for place in places] == ["8", "10", "15"]


def test_list_names_the_pipelines_on_stdout(pipe: Pipe) -> None:
    assert "predict" in pipe("list").out


def test_plan_tells_what_a_map_would_take_and_starts_nothing(pipe: Pipe, shared: Path) -> None:
    spec = pipe.spec(
        imagery={"source": "files", "paths": [str(shared / "data/imagery/naip_nd_20120731.tif")]},
        model=str(ROOT / "models/water.pt2"),
        region=512,
    )
    found = json.loads(pipe("plan", spec, "--json").out)
    assert (found["scenes"], found["regions"], found["megapixels"]) == (1, 2 * 2, 0.675)
    assert "934 x 723 pixels of 5" in pipe("plan", spec).out
    assert not (pipe.folder / "out").exists()
