"""The quick look for entry points misses none."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from swath.project.entry_points import group_exists


def test_a_group_of_an_installed_package_is_seen_and_one_of_none_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [PathFinder])  # other tests may have loaded tools that bring finders
    assert not group_exists("some.group.of.ours")
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[console_scripts]\na = b:c\n\n[some.group.of.ours]\nx = y:z\n")
    assert group_exists("some.group.of.ours")


def test_what_cannot_be_looked_into_counts_as_maybe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "packages.zip"
    archive.write_bytes(b"PK")
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    assert group_exists("some.group.of.ours")
