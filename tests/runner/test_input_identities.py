"""Paths in a pipeline of one's own: InputPath enters keys by the files' content, a plain text that names a file is warned of."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import swath
from swath.events import CallDone, Event, Log
from swath.imagery.remote.identities import IdentityLimits
from swath.imagery.remote.request_policy import RequestPolicy
from swath.runner.input_identities import InputIdentities
from tests.imagery.servers import web

PIPELINES = """
from pathlib import Path

from pydantic import Field

from swath import InputFile, InputPath, OutputPath, Spec, pipeline, task


class Count(Spec):
    one: InputPath
    maybe: InputPath | None = None
    more: tuple[InputPath, ...] = ()
    text: str | None = None
    words: tuple[str, ...] = ("red", "scene")
    out: OutputPath | None = None


@task
def size(path: InputPath) -> int:
    return 1


@task
def whole(spec: Count) -> int:
    return 2


@task
def plain(path: str, words: tuple[str, ...]) -> int:
    return 3


@task
def save(number: int, to: str) -> int:
    Path(to).write_text(str(number))
    return number


@task(cache=False)
def find(folder: str) -> list[InputFile]:
    return [InputFile(str(each)) for each in sorted(Path(folder).glob("*.csv"))]


@task(cache=False)
def find_plain(folder: str) -> str:
    return str(sorted(Path(folder).glob("*.csv"))[0])


@task
def read(path: str) -> str:
    return path


@pipeline
def count(spec: Count):
    sizes = size.map((spec.one, *spec.more))
    found = [whole(spec), sizes]
    if spec.text is not None:
        found.append(plain(spec.text, words=spec.words))
        found.append(plain(spec.text, words=("again",)))
    if spec.out is not None:
        save(found[0], to=spec.out)
    return found


class Search(Spec):
    folder: str
    typed: bool = True


@pipeline
def search(spec: Search):
    return read.map(find(spec.folder)) if spec.typed else read(find_plain(spec.folder))
"""
WHEN = 1_577_836_800 * 10**9


def put(path: Path, text: str) -> Path:
    """A file with the size and time of any other."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    os.utime(path, ns=(WHEN, WHEN))
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SWATH_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/count.py").write_text(PIPELINES)
    (tmp_path / "swath.yaml").write_text("")
    for name in ("a.csv", "b.csv", "c.csv"):
        put(tmp_path / name, "123")
    return tmp_path


def run(project: Path, **spec: Any) -> tuple[list[str], list[str]]:
    """(nodes of the calls that were executed, warnings)."""
    path = project / "spec.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "count", "cluster": "inline", **spec}))
    nodes, warnings = [], []

    def listen(event: Event) -> None:
        if isinstance(event, CallDone) and not event.reused:
            nodes.append(event.node)
        if isinstance(event, Log) and event.level == "warning":
            warnings.append(event.text)

    outcome = swath.run(swath.load(path), listeners=[listen])
    assert outcome.status == "done", outcome.error
    return sorted(nodes), warnings


def test_calls_run_again_for_the_inputs_that_changed_and_only_for_these(project: Path) -> None:
    spec = {"one": "a.csv", "more": ["b.csv", "c.csv"], "maybe": "c.csv", "out": "out.txt"}
    assert run(project, **spec) == (["result", "save", "size", "size", "size", "whole"], [])
    assert run(project, **spec) == ([], [])
    put(project / "b.csv", "456")
    assert run(project, **spec) == (["size", "whole"], []), "the item of b.csv, and the task that takes the whole spec"
    put(project / "c.csv", "456")
    assert run(project, **spec) == (["size", "whole"], [])
    assert run(project, **spec) == ([], []), "the output exists by now, and is no input"


def test_a_folder_is_an_input_with_all_its_files(project: Path) -> None:
    (project / "set/deep").mkdir(parents=True)
    put(project / "set/deep/x", "123")
    assert run(project, one="set")[0] == ["result", "size", "whole"]
    assert run(project, one="set")[0] == []
    put(project / "set/deep/x", "456")
    assert run(project, one="set")[0] == ["size", "whole"]


def test_files_that_a_task_finds_enter_keys_by_their_content(project: Path) -> None:
    spec = {"pipeline": "search", "folder": str(project)}
    assert run(project, **spec) == (["find", "read", "read", "read", "result"], [])
    assert run(project, **spec) == (["find"], [])
    put(project / "b.csv", "456")
    assert run(project, **spec) == (["find", "read", "result"], [])


def test_a_plain_text_that_names_a_file_is_warned_of_once(project: Path) -> None:
    put(project / "red", "a file that has the name of a band")
    _, warnings = run(project, one="a.csv", text=str(project / "a.csv"))
    assert sorted(each.partition(":")[0] for each in warnings) == ["plain", "whole"], "each task that gets it, once"
    warning = min(warnings)
    assert warning.startswith(f"plain: {project / 'a.csv'} is a plain text to its key, so it does not run again when")
    assert "make the spec's field an InputPath, or return swath.InputFile(path)" in warning
    assert run(project, one="a.csv", text="gone.csv")[1] == []
    assert run(project, one="a.csv", text="b.csv")[1][1:] == [warning.replace(str(project / "a.csv"), "b.csv")]
    _, warnings = run(project, pipeline="search", folder=str(project), typed=False)
    assert [each.partition(" is ")[0] for each in warnings] == [f"read: {project / 'a.csv'}"]


def test_an_address_is_asked_once_and_noticed_when_it_is_overwritten(project: Path) -> None:
    (project / "served").mkdir()
    (project / "served/a.txt").write_text("one")
    with web(project / "served") as server:
        spec = {"one": f"{server.address}/a.txt", "more": [f"{server.address}/a.txt"]}
        assert run(project, **spec) == (["result", "size", "whole"], [])
        assert len(server.asked) == 1, "once for a run, whoever takes it"
        assert run(project, **spec) == ([], [])
        (project / "served/a.txt").write_text("two")
        assert run(project, **spec) == (["size", "whole"], [])
        shutil.rmtree(project / "served")
        executed, warnings = run(project, **spec)
        assert executed == ["size", "whole"]
        assert warnings == [
            f"{server.address}/a.txt: whether it changed cannot be known (the server answered 404);"
            " what is computed of it is not reused"
        ]


def test_a_pattern_in_a_store_is_all_its_files(project: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/swath-inputs/a.txt", b"one")
    limits = IdentityLimits(total_s=5, policy=RequestPolicy(tries=1))

    def identity() -> str:
        identities = InputIdentities(pytest.fail, limits)
        identities._ask(["memory://swath-inputs/*.txt"])
        return identities._known["memory://swath-inputs/*.txt"]

    before = identity()
    assert identity() == before
    store.pipe("/swath-inputs/b.txt", b"two")
    assert identity() != before
