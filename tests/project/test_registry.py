from __future__ import annotations

import sys
from pathlib import Path

import pytest

from swath.code_shipping import project_code_id
from swath.errors import PipelineError
from swath.project.registry import Registry

HELLO = '''
from swath import Spec, pipeline, task
from .greeting import word

class Hello(Spec):
    who: str = "world"

@task
def greet(who):
    return f"{word()} {who}"

@pipeline
def hello(spec: Hello):
    """Greet somebody."""
    return greet(spec.who)
'''


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_the_stock_pipelines_are_there() -> None:
    assert "predict" in Registry.discover().names


def test_a_projects_folder_is_loaded_by_path_and_its_files_import_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pipelines", raising=False)
    folder = write(tmp_path / "pipelines", hello=HELLO, greeting="def word():\n    return 'hello'\n")
    registry = Registry.discover([folder])
    assert registry.entries["hello"].origin == str(folder / "hello.py")
    assert registry.find("hello").summary == "Greet somebody."
    assert registry.find("hello").spec_class.__name__ == "Hello"
    assert project_code_id(registry.find("hello").fn.__module__)
    assert "pipelines" not in sys.modules


def test_two_projects_with_the_same_file_names_do_not_mix(tmp_path: Path) -> None:
    for number in (1, 2):
        write(
            tmp_path / str(number),
            hello=HELLO.replace("who: str", f"times: int = {number}\n    who: str"),
            greeting="def word(): return ''",
        )
    classes = [Registry.discover([tmp_path / str(number)]).find("hello").spec_class for number in (1, 2)]
    assert [c.model_fields["times"].default for c in classes] == [1, 2]


def test_a_broken_file_is_named_and_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p", hello=HELLO, greeting="def word(): return ''", broken="import nothing_of_that_name\n"
    )
    registry = Registry.discover([folder])
    assert "hello" in registry.names
    assert "nothing_of_that_name" in registry.broken[str(folder / "broken.py")]
    with pytest.raises(PipelineError, match="nothing_of_that_name"):
        registry.find("broken")


def test_an_unknown_name_gets_a_guess() -> None:
    with pytest.raises(PipelineError, match="did you mean 'predict'"):
        Registry.discover().find("predcit")


def test_two_pipelines_of_one_name_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", a=HELLO, b=HELLO, greeting="def word(): return ''")
    with pytest.raises(PipelineError, match="two pipelines are called 'hello'"):
        Registry.discover([folder])


def test_an_entry_point_of_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_pipelines.py").write_text(HELLO.replace("from .greeting import word", "word = str"))
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[swath.pipelines]\nhello = other_pipelines\nbad = other_pipelines:nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry.discover()
    assert registry.entries["hello"].origin == "other"
    assert "nothing" in registry.broken["other"]
