"""Plain texts that name a file are found in values of any form, and words are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from swath.engine.plain_paths import DEEPEST, FIRST, plain_path


class Form(BaseModel):
    """A spec of its own."""

    name: str = "red"
    path: str = ""


def test_a_file_is_found_as_text_as_path_and_in_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    path.touch()
    text = str(path)
    for value in (text, path, ["red", text], {"key": (1, path)}, Form(path=text)):
        assert plain_path(value) == text
    monkeypatch.chdir(tmp_path)
    assert plain_path("a.tif") == "a.tif"


def test_what_is_no_file_or_a_word_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "red").touch()
    monkeypatch.chdir(tmp_path)
    for value in ("red", "absent.tif", str(tmp_path), "a\0.tif", "." * 5000, 3, None, [], {"a": 1}, Form()):
        assert plain_path(value) is None


def test_long_lists_and_deep_ones_are_looked_at_in_part(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    Path(path).touch()
    assert plain_path(["x"] * (FIRST - 1) + [path]) == path
    assert plain_path(["x"] * FIRST + [path]) is None
    nested: object = path
    for _ in range(DEEPEST - 1):
        nested = [nested]
    assert plain_path(nested) == path
    assert plain_path([[nested]]) is None
