"""Conversion of weights: once for all threads and processes, again when a file is damaged, and refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from swath.errors import ModelError
from swath.models import conversion
from swath.models.conversion import ConvertibleWeights, NotConverted, converted_weights
from swath.models.load import weights_sha256
from swath.models.safety.first_load import FirstLoad, SandboxFailed
from tests.models.tiny_models import export

WEIGHTS = ConvertibleWeights("ab" * 32, "pt2", "", "", "", 3, 4, 8)


class Converter:
    """In place of the process without rights."""

    def __init__(self, outcomes: list[bytes | Exception]) -> None:
        self.tasks: list[FirstLoad] = []
        self._outcomes = outcomes
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, task: FirstLoad, limits: Any, *, forked: bool = False) -> bytes:
        self.tasks.append(task)
        self.entered.set()
        assert self.go_on.wait(60)
        outcome = self._outcomes[min(len(self.tasks), len(self._outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Converter:
    found = Converter([b"first", b"second"])
    monkeypatch.setattr(conversion, "run_without_rights", found)
    return found


def test_weights_are_converted_once(converter: Converter, tmp_path: Path) -> None:
    path = converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)
    assert Path(path).read_bytes() == b"first"
    assert converted_weights("/elsewhere/copy.pt2", WEIGHTS, cache=tmp_path) == path
    assert len(converter.tasks) == 1
    assert converter.tasks[0].arguments == ("", "", "", 3, 4, 8, 0)
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".json", ".lock", ".onnx"]


@pytest.mark.parametrize(
    "change",
    [{"sha256": "cd" * 32}, {"output": "other"}, {"bands": 4}, {"stride": 8}, {"smallest": 16}, {"code": "1"}],
)
def test_another_content_is_another_file(converter: Converter, tmp_path: Path, change: dict[str, Any]) -> None:
    one = converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)
    assert converted_weights("/m/water.pt2", dataclasses.replace(WEIGHTS, **change), cache=tmp_path) != one


def test_who_comes_while_another_converts_waits_for_it(converter: Converter, tmp_path: Path) -> None:
    converter.go_on.clear()
    with ThreadPoolExecutor(4) as threads:
        pending = [threads.submit(converted_weights, "/m/water.pt2", WEIGHTS, cache=tmp_path) for _ in range(4)]
        assert converter.entered.wait(60)
        converter.go_on.set()
        paths = {each.result(60) for each in pending}
    assert len(paths) == len(converter.tasks) == 1


@pytest.mark.parametrize("damage", [b"", b"firs", b"fIrst", None])
def test_a_damaged_file_is_made_again(converter: Converter, tmp_path: Path, damage: bytes | None) -> None:
    path = Path(converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path))
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path) == str(path)
    assert path.read_bytes() == b"second"


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_record_is_made_again(converter: Converter, tmp_path: Path, damage: bytes) -> None:
    path = Path(converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path))
    path.with_suffix(".json").write_bytes(damage)
    converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)
    assert (path.read_bytes(), len(converter.tasks)) == (b"second", 2)


def test_what_another_user_could_have_written_is_made_again(converter: Converter, tmp_path: Path) -> None:
    path = Path(converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path))
    path.with_suffix(".json").chmod(0o666)
    converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)
    assert (path.read_bytes(), len(converter.tasks)) == (b"second", 2)


@pytest.mark.parametrize("planted", ["open", "link"])
def test_a_cache_folder_that_others_can_write_is_not_used(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    for each in ("swath", "temp", "elsewhere"):
        (tmp_path / each).mkdir()
    if planted == "link":
        (tmp_path / "swath/converted").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "swath/converted").mkdir()
        (tmp_path / "swath/converted").chmod(0o777)
    path = Path(converted_weights("/m/water.pt2", WEIGHTS))
    assert path.parent.parent == tmp_path / "temp"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_that_it_cannot_be_converted_is_remembered_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    converter = Converter([ModelError("/m/water.pt2: torch does not convert it to ONNX: no such operator: x")])
    monkeypatch.setattr(conversion, "run_without_rights", converter)
    for path in ("/m/water.pt2", "/m/copy.pt2"):
        with pytest.raises(NotConverted) as caught:
            converted_weights(path, WEIGHTS, cache=tmp_path)
        assert caught.value.message == f"{path}: torch does not convert it to ONNX: no such operator: x"
    assert len(converter.tasks) == 1


def test_a_lack_of_memory_or_time_is_not_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    converter = Converter([SandboxFailed("it takes more than 600 s"), b"second"])
    monkeypatch.setattr(conversion, "run_without_rights", converter)
    with pytest.raises(NotConverted, match="converting it to ONNX failed: it takes more than 600 s"):
        converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)
    assert Path(converted_weights("/m/water.pt2", WEIGHTS, cache=tmp_path)).read_bytes() == b"second"


def test_torchscript_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(NotConverted, match=r"a\.pt: torchscript files are not converted to ONNX"):
        converted_weights("a.pt", dataclasses.replace(WEIGHTS, format="torchscript"), cache=tmp_path)


class LogGamma(torch.nn.Module):
    """What the exporter has no operator of ONNX for."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.lgamma(images)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_operator_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    path = export(LogGamma(), 3, tmp_path / "gamma.pt2")
    weights = ConvertibleWeights(weights_sha256(str(path)), "pt2", "", "", "", 3, 1, 1)
    with pytest.raises(NotConverted, match=r"gamma\.pt2: ") as caught:
        converted_weights(str(path), weights, cache=tmp_path / "cache")
    (record,) = (tmp_path / "cache").glob("*.json")
    assert json.loads(record.read_text()) == {"refused": caught.value.message}
