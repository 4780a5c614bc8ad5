"""Where pipelines come from: what each source lists, imports, and takes for its files."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swath.errors import PipelineError
from swath.project.entry_points import InstalledPackages, InstalledPoint
from swath.project.pipeline_sources import InstalledPipelines, ProjectPipelines, StockPipelines, environment

NOTHING = InstalledPackages((), ())
HELLO = "from swath import Spec, pipeline\n@pipeline\ndef {name}(spec: Spec):\n    '''Hello.'''\n"


def test_swaths_own_are_listed_without_an_import_and_depend_on_their_files() -> None:
    source = StockPipelines()
    assert source.origins["predict"] == "swath"
    (found,) = source.load("predict")
    assert found.name == "predict"
    assert any(file.endswith("predict.py") for file in source.files({"predict": (found,)}))


def test_an_entry_point_names_a_module_or_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs_for_sources.py").write_text(HELLO.format(name="one") + HELLO.format(name="two") + "three = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = InstalledPoint("them", "all", "theirs_for_sources")
    points = (
        module,
        replace(module, value="theirs_for_sources:two"),
        replace(module, value="theirs_for_sources:three"),
    )
    source = InstalledPipelines(InstalledPackages(points, ()))
    every, two, three = source.origins
    assert set(source.origins.values()) == {"them"}
    assert [p.name for p in source.load(every)] == ["one", "two"]
    assert [p.name for p in source.load(two)] == ["two"]
    with pytest.raises(PipelineError, match="neither a pipeline nor a module"):
        source.load(three)
    assert source.files({every: source.load(every)}) == {str(tmp_path / "theirs_for_sources.py")}


def test_a_projects_files_are_listed_but_for_those_with_an_underscore(tmp_path: Path) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    for name in ("one", "_helper", "two"):
        (folder / f"{name}.py").write_text(HELLO.format(name=name))
    source = ProjectPipelines([folder, tmp_path / "none"], NOTHING, None, {})
    assert list(source.origins) == [str(folder / "one.py"), str(folder / "two.py")]
    assert source.broken == {str(tmp_path / "none"): "no such folder"}
    assert [p.name for p in source.load(str(folder / "one.py"))] == ["one"]


def test_the_surroundings_differ_with_packages_and_places_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment(NOTHING)
    assert environment(InstalledPackages((), ("numpy-2.dist-info",))) != first
    monkeypatch.setattr(sys, "path", ["/first", *sys.path[1:]])
    assert environment(NOTHING) == first
    monkeypatch.setattr(sys, "path", [*sys.path, "/last"])
    assert environment(NOTHING) != first
