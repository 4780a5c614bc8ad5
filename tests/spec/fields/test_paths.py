from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError
from swath.spec.fields.imagery import StacImagery
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Output
from swath.spec.fields.paths import InputFile
from tests.spec.samples import MAP, load_map


def test_relative_paths_start_at_the_project_s_root(project_folder: Path) -> None:
    loaded = load_map(project_folder)
    spec = loaded.spec
    assert loaded.root == project_folder
    assert spec.output.to == str(project_folder / "out" / "map")
    assert spec.model.path == str(project_folder / "water.pt2")
    assert spec.imagery.paths == (str(project_folder / "imagery" / "*.tif"),)
    assert spec.area.source == "areas/a.geojson"


def test_without_a_swath_yaml_paths_start_at_the_spec_s_own_folder(project_folder: Path) -> None:
    (project_folder / "swath.yaml").unlink()
    with pytest.raises(SpecError) as caught:
        load_map(project_folder)
    assert str(project_folder / "specs" / "water.pt2") in str(caught.value)


def test_urls_are_left_alone_and_home_is_expanded(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project_folder))
    text = MAP.replace("out/map", "s3://bucket/../map").replace("water.pt2", "~/water.pt2")
    text = text.replace("imagery/*.tif", "https://example.org/a*.tif")
    spec = load_map(project_folder, text).spec
    assert spec.output.to == "s3://bucket/../map"
    assert spec.model.path == str(project_folder / "water.pt2")
    assert spec.imagery.paths == ("https://example.org/a*.tif",)


@pytest.mark.parametrize(
    "to", ["ftp://", "ftp://host/out", "s3://", "s3:///out", "gs://", "http://host/out", "zip://a::s3://b/c", "memory://a/b", "://x", "x://y",
           "file://host/out", "/vsis3/bucket/out"],
)  # fmt: skip
def test_an_address_that_is_not_written_to_is_a_mistake_at_its_place(project_folder: Path, to: str) -> None:
    with pytest.raises(SpecError, match="is no address that outputs are written to: give a folder, s3://"):
        load_map(project_folder, MAP.replace("out/map", f"'{to}'"))


@pytest.mark.parametrize(
    "address", ["s3://", "s3:///a.tif", "s3://[a", "s3://*/a.tif", "gs://", "https://", "https:///a.tif", "https://[::1/a.tif",
                "http://host:99999/a.tif", "http://a b/c.tif", "ftp://", "s3://bucket/../a.tif"],
)  # fmt: skip
def test_an_address_without_a_host_or_bucket_is_a_mistake_at_its_place(project_folder: Path, address: str) -> None:
    for wanted in ("imagery/*.tif", "water.pt2"):
        with pytest.raises(SpecError, match="is no address: "):
            load_map(project_folder, MAP.replace(wanted, f"'{address}'"))


@pytest.mark.parametrize(
    "to", ["s3://bucket", "S3://bucket/a b", "gs://bucket/map", "abfs://box/map", "file:///tmp/map"]
)
def test_stores_and_file_urls_are_outputs(project_folder: Path, to: str) -> None:
    assert load_map(project_folder, MAP.replace("out/map", f"'{to}'")).spec.output.to == to


@pytest.mark.parametrize("to", ["../out", "out/../../x", "..", "link/out", "link/../link"])
def test_a_relative_output_may_not_leave_the_project(
    project_folder: Path, to: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project_folder / "link").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(SpecError, match="write an absolute path if that is meant"):
        load_map(project_folder, MAP.replace("out/map", to))


def test_an_output_may_be_anywhere_when_its_path_is_absolute(
    project_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project_folder / "link").symlink_to(elsewhere)
    assert load_map(project_folder, MAP.replace("out/map", str(elsewhere))).spec.output.to == str(elsewhere)
    assert load_map(project_folder, MAP.replace("out/map", str(project_folder / "link"))).spec.output.to == str(
        project_folder / "link"
    )


def test_a_project_that_is_reached_through_a_link_is_no_escape(
    project_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("links") / "project"
    link.symlink_to(project_folder)
    assert load_map(link).spec.output.to == str(link / "out" / "map")


def test_the_project_s_own_folder_is_no_output(project_folder: Path) -> None:
    with pytest.raises(SpecError, match="name a folder in it"):
        load_map(project_folder, MAP.replace("out/map", "."))


def test_what_is_not_there_is_a_mistake_at_its_place(project_folder: Path) -> None:
    text = MAP.replace("a.geojson", "b.geojson").replace("*.tif", "*.jp2").replace("water", "fire")
    with pytest.raises(SpecError) as caught:
        load_map(project_folder, text)
    file = project_folder / "specs" / "run.yaml"
    assert str(caught.value).splitlines() == [
        f"{file}:2:7: area: there is no such file: {project_folder}/areas/b.geojson",
        f"{file}:3:34: imagery.paths.0: no file matches {project_folder}/imagery/*.jp2",
        f"{file}:4:8: model: there is no such file: {project_folder}/fire.pt2",
    ]


def test_plain_python_leaves_paths_as_they_are() -> None:
    assert ModelRef(path="nowhere.pt2").path == "nowhere.pt2"
    assert Output(to="../x").to == "../x"
    assert StacImagery(catalog="c.json").catalog == "c.json"


def test_a_pattern_of_files_of_one_band_each_must_match_and_follows_their_content(project_folder: Path) -> None:
    text = MAP.replace("imagery/*.tif", "'scenes/*_{band}.tif'")
    with pytest.raises(SpecError, match="no file matches"):
        load_map(project_folder, text)
    (project_folder / "scenes").mkdir()
    for band in ("B04", "B08"):
        (project_folder / f"scenes/a_{band}.tif").write_text(band)
    (path,) = load_map(project_folder, text).spec.imagery.paths
    assert path == str(project_folder / "scenes" / "*_{band}.tif")
    assert isinstance(path, InputFile)
    before = path.identity
    assert "a_B04.tif" in before
    (project_folder / "scenes/a_B08.tif").write_text("other")
    assert path.identity != before
