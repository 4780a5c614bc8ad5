"""An index of pipelines is believed only when all of it can be checked, and nothing about it is ever an error."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swath.project.pipeline_index import FORMAT, IndexedPipeline, IndexLimits, PipelineIndex, Scan

NOW = 1_700_000_000.0
MODULES = ("a", "b", "helper")


@pytest.fixture
def index(tmp_path: Path) -> PipelineIndex:
    return PipelineIndex(tmp_path / "cache" / "swath")


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Of two modules, one of them broken, in a file that is older than NOW."""
    file = tmp_path / "a.py"
    file.write_text("code")
    os.utime(file, (NOW - 100, NOW - 100))
    return Scan((IndexedPipeline("a", "name", "What it does."),), {"b": "ImportError: no c"}, (str(file),))


def file_of(index: PipelineIndex) -> Path:
    (file,) = index.folder.iterdir()
    return file


def test_what_was_written_is_read_but_for_the_reasons_of_broken_modules(index: PipelineIndex, scan: Scan) -> None:
    assert index.read("source", MODULES) is None
    index.write("source", MODULES, scan, NOW)
    assert index.read("source", MODULES) == Scan(scan.pipelines, {"b": ""}, scan.files)
    assert index.folder.stat().st_mode & 0o777 == 0o700
    assert file_of(index).stat().st_mode & 0o777 == 0o600


def test_that_of_other_modules_or_another_source_is_not_believed(index: PipelineIndex, scan: Scan) -> None:
    index.write("source", MODULES, scan, NOW)
    assert index.read("source", (*MODULES, "new")) is None
    assert index.read("source", MODULES[:2]) is None
    assert index.read("other", MODULES) is None
    file_of(index).rename(index._file("other"))
    assert index.read("other", MODULES) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda file: os.utime(file, (NOW - 99, NOW - 99)),
        lambda file: (file.write_text("longer code"), os.utime(file, (NOW - 100, NOW - 100))),
        lambda file: file.unlink(),
    ],
    ids=["time", "size", "gone"],
)
def test_a_file_that_changed_makes_it_outdated(index: PipelineIndex, scan: Scan, change: Callable[[Path], Any]) -> None:
    index.write("source", MODULES, scan, NOW)
    change(Path(scan.files[0]))
    assert index.read("source", MODULES) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"format": 1}',
        b"{}" + b" " * IndexLimits().max_bytes,
        pytest.param(lambda d: d | {"format": FORMAT + 1}, id="format"),
        pytest.param(lambda d: d | {"modules": 3}, id="modules"),
        pytest.param(lambda d: d | {"pipelines": [["a", "name"]]}, id="short row"),
        pytest.param(lambda d: d | {"pipelines": [["a", 1, "text"]]}, id="number"),
        pytest.param(lambda d: d | {"pipelines": [["c", "name", "text"]]}, id="unknown module"),
        pytest.param(lambda d: d | {"pipelines": [["a", "", "text"]]}, id="no name"),
        pytest.param(lambda d: d | {"pipelines": [["a", "name", "\x1b[31mred"]]}, id="control characters"),
        pytest.param(lambda d: d | {"pipelines": [["a", "name", "x" * 1001]]}, id="long"),
        pytest.param(lambda d: d | {"broken": ["c"]}, id="unknown broken"),
        pytest.param(lambda d: d | {"broken": [["a"]]}, id="broken list"),
        pytest.param(lambda d: d | {"files": [["relative", "x", None, 1]]}, id="files"),
        pytest.param(lambda d: d | {"files": [[3, 1, 1]]}, id="open file"),
        pytest.param(lambda d: d | {"files": [["\0", 1, 1]]}, id="no path"),
    ],
)
def test_a_damaged_one_is_as_none(
    index: PipelineIndex, scan: Scan, content: bytes | Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    index.write("source", MODULES, scan, NOW)
    file = file_of(index)
    file.write_bytes(
        content if isinstance(content, bytes) else json.dumps(content(json.loads(file.read_text()))).encode()
    )
    assert index.read("source", MODULES) is None
    index.write("source", MODULES, scan, NOW)
    assert index.read("source", MODULES) is not None


def test_one_that_others_can_write_or_that_lies_elsewhere_is_not_believed(
    index: PipelineIndex, scan: Scan, tmp_path: Path
) -> None:
    index.write("source", MODULES, scan, NOW)
    file = file_of(index)
    file.chmod(0o666)
    assert index.read("source", MODULES) is None
    file.chmod(0o600)
    assert index.read("source", MODULES) is not None
    file.symlink_to(file.rename(tmp_path / "elsewhere"))
    assert index.read("source", MODULES) is None
    file.unlink()
    os.mkfifo(file)
    assert index.read("source", MODULES) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_another_user_is_not_believed(index: PipelineIndex, scan: Scan) -> None:
    index.write("source", MODULES, scan, NOW)
    os.chown(file_of(index), 12345, -1)
    assert index.read("source", MODULES) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, scan: Scan) -> None:
    (tmp_path / "file").write_text("")
    index = PipelineIndex(tmp_path / "file" / "below")
    index.write("source", MODULES, scan, NOW)
    assert index.read("source", MODULES) is None


def test_nothing_is_written_while_a_file_may_change_again_with_the_same_time(index: PipelineIndex, scan: Scan) -> None:
    index.write("source", MODULES, scan, NOW - 99)
    assert index.read("source", MODULES) is None
    index.write("source", MODULES, scan, NOW - 97)
    assert index.read("source", MODULES) is not None


def test_nothing_is_written_of_names_that_cannot_be_printed(index: PipelineIndex, scan: Scan) -> None:
    index.write("source", MODULES, Scan((IndexedPipeline("a", "na\nme", ""),), {}, scan.files), NOW)
    assert not index.folder.exists()


def test_old_ones_go_when_another_is_written(index: PipelineIndex, scan: Scan) -> None:
    index.write("old", MODULES, scan, NOW)
    os.utime(file_of(index), (NOW - 31 * 86400, NOW - 31 * 86400))
    index.write("source", MODULES, scan, NOW)
    assert index.read("old", MODULES) is None
    assert index.read("source", MODULES) is not None


def test_whoever_reads_while_others_write_gets_a_whole_one(index: PipelineIndex, scan: Scan) -> None:
    many = Scan(tuple(IndexedPipeline("a", f"name-{n}", "x" * 900) for n in range(200)), {}, scan.files)
    index.write("source", MODULES, many, NOW)
    start, wrong = threading.Barrier(6), []

    def write() -> None:
        start.wait()
        for _ in range(20):
            index.write("source", MODULES, many, NOW)

    def read() -> None:
        start.wait()
        for _ in range(100):
            if index.read("source", MODULES) != many:
                wrong.append(1)

    threads = [threading.Thread(target=work) for work in (write, write, write, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert file_of(index).suffix == ".json"


@pytest.mark.parametrize("given", ["", "relative/cache"])
def test_the_folder_is_the_users_cache(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = PipelineIndex.of_user({"XDG_CACHE_HOME": given})
    assert found is not None
    assert found.folder == tmp_path / ".cache/swath/pipelines"
    found = PipelineIndex.of_user({"XDG_CACHE_HOME": str(tmp_path / "other")})
    assert found is not None
    assert found.folder == tmp_path / "other/swath/pipelines"
