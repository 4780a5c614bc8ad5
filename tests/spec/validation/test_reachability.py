"""What a spec may name when its workers are on machines in a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.loading.load import LoadedSpec, parse
from swath.spec.validation import reachability

CLOUDS = {
    "aws": "{kind: aws, region: eu-central-1, security_groups: [sg-1], image: swath}",
    "gcp": "{kind: gcp, project: maps-1, zone: europe-west4-a, image: swath}",
    "kubernetes": "{kind: kubernetes, image: swath}",
}
LOCAL = """pipeline: predict
imagery: {{source: files, paths: [a.tif, "s3://b/c.tif"]}}
area: area.geojson
model: {{path: m.pt2, contract: m.json}}
output: out
cluster: {cluster}
"""
SQUARE = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("a.tif", "m.pt2", "m.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "area.geojson").write_text(SQUARE)
    return tmp_path


def load(folder: Path, text: str, results: str | None = "s3://b/results") -> LoadedSpec:
    from pipelines.predict import Predict

    (folder / "swath.yaml").write_text(f"results: {results}\n" if results else "")
    return parse(text, str(folder / "spec.yaml"), find=lambda name: Predict, names=["predict"])


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_each_path_that_workers_cannot_reach_is_a_mistake_with_its_place(project: Path, cloud: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(project, LOCAL.format(cluster=cloud), results=None)
    found = [(each.field, each.line, each.column) for each in raised.value.mistakes]
    assert found == [("imagery.paths.0", 2, 34), ("model.path", 4, 15), ("cluster", 6, 10)]
    first, _, last = (each.message for each in raised.value.mistakes)
    assert "stage: s3://bucket/prefix" in first
    assert "results: s3://bucket/prefix" in last


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_with_stage_local_inputs_are_fine_and_results_go_there_unless_swath_yaml_names_a_bucket(
    project: Path, cloud: str
) -> None:
    loaded = load(project, LOCAL.format(cluster=cloud) + "stage: gs://bucket/stage/\n", results=None)
    assert reachability.results_location(loaded.spec, None) == "gs://bucket/stage/results"
    assert reachability.results_location(loaded.spec, "/disk/results") == "gs://bucket/stage/results"
    assert reachability.results_location(loaded.spec, "s3://b/results") == "s3://b/results"
    assert [each.at for each in reachability.parameter_paths(loaded.spec)] == [
        ("imagery", "paths", 0),
        ("model", "path"),
    ]


@pytest.mark.parametrize("cluster", ["local", "inline", "tcp://127.0.0.1:1"])
def test_workers_that_may_see_this_disk_are_asked_for_nothing(project: Path, cluster: str) -> None:
    load(project, LOCAL.format(cluster=f'"{cluster}"'), results=None)


@pytest.mark.parametrize("stage", ["/data/stage", "s3://", "https://x/y", "s3://bucket/a?b"])
def test_stage_is_a_bucket(project: Path, stage: str) -> None:
    with pytest.raises(SpecError, match="stage"):
        load(project, LOCAL.format(cluster="local") + f'stage: "{stage}"\n')


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "HF_TOKEN", "db_password"])
def test_secrets_go_to_no_machine_unless_the_spec_says_so(project: Path, cloud: str, name: str) -> None:
    fields = f"{cloud[:-1]}, env: {{{name}: x}}"
    stage = "stage: s3://bucket/stage\n"
    with pytest.raises(SpecError, match="secret_env: true") as raised:
        load(project, LOCAL.format(cluster=fields + "}") + stage)
    assert [each.field for each in raised.value.mistakes] == [f"cluster.env.{name}"]
    load(project, LOCAL.format(cluster=fields + ", secret_env: true}") + stage)


def test_settings_of_libraries_are_no_secrets(project: Path) -> None:
    env = "env: {AWS_REQUEST_PAYER: requester, AWS_NO_SIGN_REQUEST: 'YES', TOKENIZERS_PARALLELISM: 'false'}"
    load(project, LOCAL.format(cluster=f"{CLOUDS['aws'][:-1]}, {env}}}") + "stage: s3://bucket/stage\n")


def test_inputs_are_replaced_and_the_rest_is_as_it_was() -> None:
    from pipelines.predict import Predict

    spec = Predict(
        imagery=FilesImagery(paths=("/a/*.tif", "s3://b/c.tif"), nodata=3),
        model=ModelRef(path="/m.pt2", contract="/m.json"),
        output=Output(to="/out"),
    )
    there = reachability.with_inputs(spec, lambda at, value: ("s3://1", "s3://2") if "*" in value else ("s3://m",))
    assert there.imagery == FilesImagery(paths=("s3://1", "s3://2", "s3://b/c.tif"), nodata=3)
    assert there.model == ModelRef(path="s3://m", contract="/m.json")
    assert there.output == spec.output
    assert list(reachability.parameter_paths(there)) == []
    assert reachability.with_inputs(there, lambda at, value: ()) == there
