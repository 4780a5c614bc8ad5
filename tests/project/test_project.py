"""Projects: what swath.yaml says, and what holds without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swath.errors import SpecError, UsageError
from swath.project.project import Project
from swath.spec.clusters.cluster import AddressCluster, LocalCluster


def test_the_nearest_swath_yaml_above_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("")
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text("")
    for start in (folder / "spec.yaml", folder, folder / "not-there-yet.yaml"):
        assert Project.find(start, {}).root == tmp_path
    (tmp_path / "a" / "swath.yaml").write_text("")
    assert Project.find(folder, {}).root == tmp_path / "a"
    assert Project.find(folder, {}).file == tmp_path / "a" / "swath.yaml"


def test_without_a_swath_yaml_the_spec_s_own_folder_is_the_root(tmp_path: Path) -> None:
    project = Project.find(tmp_path / "spec.yaml", {}, trust=True)
    assert project == Project(tmp_path, tmp_path / ".swath", trusted=True, env={})
    (tmp_path / "pipelines").mkdir()
    assert Project.find(tmp_path, {}).pipelines == (tmp_path / "pipelines",)


def test_a_relative_start_gives_an_absolute_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Project.find(Path("spec.yaml"), {}).root == tmp_path


def test_swath_yaml_says_clusters_pipelines_state_and_results(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "swath.yaml").write_text(
        "clusters:\n  two: {kind: local, workers: 2}\n  far: tcp://a:1\n"
        "pipelines: [mine]\nstate: var/state\nresults: s3://bucket/results\n"
    )
    project = Project.find(tmp_path, {})
    assert project.clusters == {"two": LocalCluster(workers=2), "far": AddressCluster(url="tcp://a:1")}
    assert project.pipelines == (tmp_path / "mine",)
    assert project.state == tmp_path / "var" / "state"
    assert project.results == "s3://bucket/results"


def test_a_project_may_have_no_pipelines_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "swath.yaml").write_text("pipelines: []\n")
    assert Project.find(tmp_path, {}).pipelines == ()


def test_swath_home_goes_before_all(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("state: var\n")
    assert Project.find(tmp_path, {"SWATH_HOME": "/elsewhere/state"}).state == Path("/elsewhere/state")
    assert Project.find(tmp_path, {"SWATH_HOME": ""}).state == tmp_path / "var"


def test_every_mistake_in_swath_yaml_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "swath.yaml"
    file.write_text(
        "clusers: {}\nclusters:\n  a: {kind: local, workers: two}\n  b: {kind: clod}\npipelines: [nope]\nstate: ../x\n"
    )
    with pytest.raises(SpecError) as caught:
        Project.find(tmp_path, {})
    lines = [str(mistake).removeprefix(f"{file}:") for mistake in caught.value.mistakes]
    assert [line.split(": ", 2)[:2] for line in lines] == [
        ["1:1", "clusers"],
        ["3:29", "clusters.a.workers"],
        ["4:13", "clusters.b.kind"],
        ["5:13", "pipelines.0"],
        ["6:8", "state"],
    ]
    assert "did you mean 'clusters'?" in lines[0]


def test_a_swath_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("- a\n")
    with pytest.raises(SpecError, match="expected a mapping, got a list"):
        Project.find(tmp_path, {})


def test_references_to_the_environment_are_secrets_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("clusters: {far: {kind: address, url: '${env:URL}'}}\n")
    project = Project.find(tmp_path, {"URL": "tcp://canary:1"}, trust=True)
    assert set(project.secrets) == {"tcp://canary:1"}
    assert "secrets" not in repr(project)
    with pytest.raises(SpecError) as caught:
        Project.find(tmp_path, {"URL": "http://canary"}, trust=True)
    assert "canary" not in str(caught.value)


def test_specs_are_light_to_import() -> None:
    code = "import swath.project.project, swath.spec.loading.load, swath.spec.fields.output, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "shapely", "pyproj", "pyogrio", "geopandas", "yaml", "torch", "rasterio", "dask", "odc"}
    assert heavy & set(loaded) == set()


def test_a_state_folder_whose_name_is_too_long_is_an_error_of_swath_yaml(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text(f"state: {'a' * 5000}\n")
    with pytest.raises(UsageError, match=r"swath\.yaml: state: File name too long: .*/aaa"):
        Project.find(tmp_path, env={})
