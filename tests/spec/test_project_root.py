from __future__ import annotations

from pathlib import Path

import pytest

from swath.spec.project_root import project_root


def test_the_root_is_the_nearest_folder_with_a_swath_yaml(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "swath.yaml").touch()
    (tmp_path / "a" / "b" / "swath.yaml").touch()
    assert project_root(tmp_path / "a" / "b" / "c") == tmp_path / "a" / "b"
    assert project_root(tmp_path / "a" / "b" / "c" / "spec.yaml") == tmp_path / "a" / "b"
    assert project_root(tmp_path / "a") == tmp_path


def test_without_one_it_is_the_folder_itself_and_always_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_root(Path("none.yaml")) == tmp_path
    assert project_root(tmp_path) == tmp_path
