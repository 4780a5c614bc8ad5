from __future__ import annotations

import importlib
import os
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
    registry = Registry.discover([folder])
    with pytest.raises(PipelineError, match="two pipelines are called 'hello'"):
        registry.find("hello")
    assert "predict" in registry.names
    assert "hello" not in registry.names


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


SIMPLE = '''
import os
from swath import Spec, pipeline, task
{imports}
with open({log!r}, "a") as log:
    log.write("{name}\\n")

@task
def work():
    return 1

@pipeline(name={title})
def {name}(spec: Spec):
    """{summary}"""
    return work()
'''


class Project:
    """A folder of pipelines whose files are old enough for an index, and which of their modules are imported."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.log = tmp_path / "own" / "pipelines", tmp_path / "imported"
        self.folder.mkdir(parents=True)
        self.log.touch()
        self.time = 1_600_000_000

    def write(self, name: str, text: str = "", *, imports: str = "", title: str = "None", summary: str = "") -> Path:
        """A file with one pipeline, or with any text, each time with another modification time."""
        file = self.folder / f"{name}.py"
        fields = {"name": name, "imports": imports, "title": title, "summary": summary}
        file.write_text(text or SIMPLE.format(log=str(self.log), **fields))
        self.time += 10
        os.utime(file, (self.time, self.time))
        return file

    def discover(self) -> Registry:
        self.log.write_text("")
        return Registry.discover([self.folder])

    @property
    def imported(self) -> list[str]:
        """Since the last discovery, in order."""
        return self.log.read_text().split()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Project(tmp_path)


def test_names_are_known_without_an_import_and_one_that_is_asked_for_imports_its_module_only(own: Project) -> None:
    for name in ("one", "two", "three"):
        own.write(name, summary=f"What {name} does.")
    first = own.discover()
    assert sorted(own.imported) == ["one", "three", "two"]
    again = own.discover()
    assert own.imported == []
    assert again.names == first.names
    assert [(e.summary, e.origin) for e in again.entries.values()] == [
        (e.summary, e.origin) for e in first.entries.values()
    ]
    assert again.entries["two"].summary == "What two does."
    assert again.find("two").fn.__doc__ == "What two does."
    assert again.find("two") is again.entries["two"].pipeline
    assert own.imported == ["two"]


def test_a_changed_file_is_seen_and_a_new_one_and_one_that_is_gone(own: Project) -> None:
    own.write("one", summary="Old.")
    own.discover()
    own.write("one", summary="New.")
    assert own.discover().entries["one"].summary == "New."
    own.write("two")
    assert {"one", "two"} <= set(own.discover().names)
    (own.folder / "one.py").unlink()
    assert "one" not in own.discover().names


def test_a_change_in_a_file_that_a_pipeline_imports_is_seen(own: Project) -> None:
    own.write("_names", "TITLE = 'before'")
    own.write("one", imports="from ._names import TITLE", title="TITLE")
    assert "before" in own.discover().names
    own.write("_names", "TITLE = 'after'")
    assert "after" in own.discover().names
    outside = own.folder.parent / "beside.py"
    outside.write_text("TITLE = 'beside'")
    os.utime(outside, (own.time, own.time))
    own.write("one", imports="from beside import TITLE", title="TITLE")
    assert "beside" in own.discover().names
    outside.unlink()
    registry = own.discover()
    assert "No module named 'beside'" in registry.broken[str(own.folder / "one.py")]
    assert "beside" not in registry.names


def test_a_broken_module_is_tried_again_though_its_file_did_not_change(
    own: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write("good")
    file = own.write("bad", imports="os.environ['SWATH_TEST_VARIABLE']")
    for _ in range(2):
        registry = own.discover()
        assert registry.broken == {str(file): "KeyError: 'SWATH_TEST_VARIABLE'"}
        assert "good" in registry.names
    assert own.imported == []
    monkeypatch.setenv("SWATH_TEST_VARIABLE", "there")
    registry = own.discover()
    assert registry.broken == {}
    assert "bad" in registry.names


def test_a_package_that_comes_or_goes_makes_the_index_outdated(
    own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write("one")
    own.discover()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    own.discover()
    own.discover()
    assert own.imported == []
    (tmp_path / "site" / "new-1.0.dist-info").mkdir(parents=True)
    own.discover()
    assert own.imported == ["one"]


def test_a_pipeline_that_its_module_no_longer_has_is_looked_for_again(
    own: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATH_TEST_NAME", "before")
    own.write("one", title="os.environ['SWATH_TEST_NAME']")
    own.discover()
    monkeypatch.setenv("SWATH_TEST_NAME", "after")
    registry = own.discover()
    assert "before" in registry.names
    with pytest.raises(PipelineError, match="there is no pipeline 'before'"):
        registry.find("before")
    assert "before" not in registry.names
    assert registry.find("after").name == "after"
    assert own.discover().find("after").name == "after"


def test_a_module_that_breaks_in_a_way_that_no_file_shows_is_told_as_broken(
    own: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATH_TEST_VARIABLE", "there")
    file = own.write("one", imports="os.environ['SWATH_TEST_VARIABLE']")
    own.discover()
    monkeypatch.delenv("SWATH_TEST_VARIABLE")
    registry = own.discover()
    assert registry.broken == {}
    with pytest.raises(PipelineError, match="KeyError: 'SWATH_TEST_VARIABLE'"):
        registry.find("one")
    assert registry.broken == {str(file): "KeyError: 'SWATH_TEST_VARIABLE'"}


def test_a_projects_pipeline_goes_before_swaths_own_also_from_the_index(own: Project) -> None:
    file = own.write("mine", title="'predict'", summary="Mine.")
    for _ in range(2):
        registry = own.discover()
        assert (registry.entries["predict"].origin, registry.entries["predict"].summary) == (str(file), "Mine.")
    assert own.imported == []
    assert registry.find("predict").fn.__name__ == "mine"


def test_two_of_one_name_are_refused_every_time(own: Project) -> None:
    own.write("one", title="'same'")
    own.write("two", title="'same'")
    for _ in range(2):
        registry = own.discover()
        with pytest.raises(PipelineError, match="two pipelines are called 'same'"):
            registry.find("same")


def test_an_index_that_cannot_be_written_or_read_changes_nothing(own: Project, tmp_path: Path) -> None:
    own.write("one")
    (tmp_path / "cache").write_text("no folder")
    for _ in range(2):
        assert "one" in own.discover().names
        assert own.imported == ["one"]


def test_projects_that_are_used_in_turns_each_import_their_own_code(own: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other")
    for project, word in ((own, "own"), (other, "other")):
        beside = project.folder.parent / "beside.py"
        beside.write_text(f"WORD = {word!r}")
        os.utime(beside, (project.time, project.time))
        for name in ("one", "two"):
            project.write(name, imports="import beside", title=f"'{name}-' + beside.WORD")
        project.discover()
    first, second = own.discover(), other.discover()
    assert [first.find("one-own").name, second.find("one-other").name] == ["one-own", "one-other"]
    assert [first.find("two-own").name, second.find("two-other").name] == ["two-own", "two-other"]
    assert project_code_id(second.find("two-other").fn.__module__)


def test_the_projects_code_can_be_imported_once_any_pipeline_was_found(own: Project) -> None:
    (own.folder.parent / "factories_of_ours.py").write_text("")
    own.write("one")
    own.discover()
    registry = own.discover()
    registry.find("predict")
    assert importlib.import_module("factories_of_ours").__file__ == str(own.folder.parent / "factories_of_ours.py")


def test_folders_that_stand_in_for_others_have_no_index(own: Project, tmp_path: Path) -> None:
    own.write("one")
    for _ in range(2):
        own.log.write_text("")
        Registry.discover([own.folder], own.folder.parent, {own.folder: tmp_path / "there"})
        assert own.imported == ["one"]
