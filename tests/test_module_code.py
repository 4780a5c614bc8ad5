"""Digests of modules: what changes them, and that the code which runs is the code that was hashed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.code_shipping import ProjectCode, add_project, name_modules, remove_projects
from swath.module_code import CodeChanged, import_as, module_digest

NETS = "import layers_of_mine\n\ndef make():\n    return layers_of_mine.width()\n"
LAYERS = "from sizes_of_mine.small import SIZE\n\ndef width():\n    return SIZE\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project without pipelines; nets_of_mine imports layers_of_mine, which imports a package."""
    (tmp_path / "nets_of_mine.py").write_text(NETS)
    (tmp_path / "layers_of_mine.py").write_text(LAYERS)
    (tmp_path / "sizes_of_mine").mkdir()
    (tmp_path / "sizes_of_mine/__init__.py").write_text("")
    (tmp_path / "sizes_of_mine/small.py").write_text("SIZE = 4\n")
    add_project(tmp_path / "pipelines", tmp_path)
    yield tmp_path
    remove_projects()


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("nets_of_mine.py", NETS.replace("width()", "width() + 1"), True),
        ("layers_of_mine.py", LAYERS.replace("return SIZE", "return -SIZE"), True),
        ("sizes_of_mine/small.py", "SIZE = 6\n", True),
        ("sizes_of_mine/__init__.py", "OTHER = 1\n", True),
        ("nets_of_mine.py", NETS + "# a comment\n", False),
        ("unused.py", "x = 1\n", False),
    ],
)
def test_a_digest_covers_the_module_and_what_it_imports_of_the_project(
    root: Path, file: str, text: str, changes: bool
) -> None:
    before = module_digest("nets_of_mine")
    assert module_digest("nets_of_mine") == before != ""
    assert "nets_of_mine" not in sys.modules, "nothing is imported"
    (root / file).write_text(text)
    assert (module_digest("nets_of_mine") != before) is changes


def test_modules_that_are_not_the_projects() -> None:
    assert module_digest("no_such_module_of_anybody") == ""
    assert module_digest("math") == ""
    assert module_digest("swath.models.unet") == module_digest("swath.models.unet") != ""


def test_code_that_changes_in_flight_is_refused_and_changed_code_is_imported_again(root: Path) -> None:
    first = module_digest("nets_of_mine")
    assert import_as("nets_of_mine", first).make() == 4
    (root / "sizes_of_mine/small.py").write_text("SIZE = 6\n")  # same size, same second
    with pytest.raises(CodeChanged, match="the code of nets_of_mine, or of a module that it imports, changed since"):
        import_as("nets_of_mine", first)
    assert import_as("nets_of_mine", module_digest("nets_of_mine")).make() == 6


def test_named_modules_travel_with_what_they_import(root: Path) -> None:
    assert not ProjectCode.loaded().modules
    name_modules(["nets_of_mine"])
    assert set(ProjectCode.loaded().modules) == {
        "nets_of_mine",
        "layers_of_mine",
        "sizes_of_mine",
        "sizes_of_mine.small",
    }
