"""Entry points are read from the packages' files as importlib.metadata reads them."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder, entry_points
from pathlib import Path

import pytest

from swath.project.entry_points import InstalledPoint, installed

GROUP = "some.group.of.ours"


def install(place: Path, name: str, text: str, *, folder: str = "{}-1.0.dist-info", file: str = "METADATA") -> None:
    info = place / folder.format(name.replace("-", "_"))
    info.mkdir(parents=True)
    (info / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\nName: not this one\n")
    (info / "entry_points.txt").write_text(text)


@pytest.fixture(autouse=True)
def _own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    # Other tests may have imported tools that add finders, or importlib_metadata, which takes Python's own away.
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    monkeypatch.setattr(PathFinder, "find_distributions", MetadataPathFinder.find_distributions, raising=False)


def test_a_group_of_an_installed_package_is_found_and_one_of_none_is_not(tmp_path: Path) -> None:
    assert installed(GROUP).points == ()
    install(
        tmp_path,
        "a-thing",
        f"[console_scripts]\na = b:c\n\n[{GROUP}]\n# none\nx = y:z.w\nv=u [extra]\n\n[more]\no = p\n",
    )
    points = installed(GROUP).points
    assert points == (InstalledPoint("a-thing", "x", "y:z.w"), InstalledPoint("a-thing", "v", "u [extra]"))
    assert [(point.module, point.attribute) for point in points] == [("y", "z.w"), ("u", "")]


def test_they_are_those_of_importlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "three-1-py3.egg")])
    install(tmp_path, "one", f"[{GROUP}]\nx = y:z\n")
    install(tmp_path, "two", f"[{GROUP}]\nx = other\n", folder="{}.egg-info", file="PKG-INFO")
    install(tmp_path, "three", f"[{GROUP}]\ne = egg:w\n", folder="{}-1-py3.egg/EGG-INFO", file="PKG-INFO")
    theirs = {(point.dist.name if point.dist else "", point.name, point.value) for point in entry_points(group=GROUP)}
    assert {(point.package, point.name, point.value) for point in installed(GROUP).points} == theirs
    assert len(theirs) == 3
    every = installed("console_scripts").points
    assert {(point.name, point.value) for point in every} == {
        (p.name, p.value) for p in entry_points(group="console_scripts")
    }


def test_of_two_packages_of_one_name_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "first", "one", f"[{GROUP}]\nx = first\n")
    install(tmp_path / "second", "one", f"[{GROUP}]\nx = second\n", folder="{}-2.0.dist-info")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "first"), str(tmp_path / "second")])
    assert [point.value for point in installed(GROUP).points] == ["first"]


def test_an_archive_is_read_by_importlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("in_zip-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: in-zip\nVersion: 1.0\n")
        packed.writestr("in_zip-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nx = zipped\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    assert installed(GROUP).points == (InstalledPoint("in-zip", "x", "zipped"),)


def test_what_is_installed_shows_by_its_folders_names(tmp_path: Path) -> None:
    before = installed(GROUP).folders
    install(tmp_path, "new", "")
    assert set(installed(GROUP).folders) - set(before) == {str(tmp_path / "new-1.0.dist-info")}
