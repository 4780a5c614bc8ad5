"""The choice of runtime and precision: a clear margin or a fixed order, remembered, and only what agrees."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ModelError
from swath.geo import Window
from swath.models import runtime_choice
from swath.models.contract import Contract, ModelClass, ModelInfo
from swath.models.precision import Agreement
from swath.models.runtime_choice import (
    AUTO_MEGAPIXELS,
    RuntimeChoice,
    RuntimeRequest,
    RuntimeSample,
    choose_runtime,
    needs_sample,
    processor,
)

CLASSES = tuple(ModelClass(n, str(n), (0, 0, 0)) for n in range(2))
INFO = ModelInfo("m.pt2", "pt2", "0", Contract("m", ("red",), "classes", CLASSES), None, 2, 1, True)
WINDOW = Window(0, 0, 100, 100)
SAMPLE = RuntimeSample(np.zeros((1, 100, 100), np.uint8), np.ones((100, 100), np.bool_), WINDOW, WINDOW)
LARGE = AUTO_MEGAPIXELS
AUTO = RuntimeRequest()


class Machine:
    """Times and agreements by runtime and precision, and how often they were asked for."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | str] = {"torch": 1.0, "onnxruntime": 1.0, "openvino": 1.0}
        self.agree: dict[str, float] = {}
        self.timed: list[str] = []

    def time(self, info: ModelInfo, sample: RuntimeSample) -> float | str:
        self.timed.append(name(info))
        return self.seconds[name(info)]

    def agreement(self, info: ModelInfo, sample: RuntimeSample) -> Agreement:
        return Agreement(1_000_000, round(1_000_000 * self.agree.get(name(info), 1.0)), 0.0)


def name(info: ModelInfo) -> str:
    return info.used_runtime if info.precision == "float32" else f"{info.used_runtime} {info.precision}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(runtime_choice, "_time", found.time)
    monkeypatch.setattr(runtime_choice, "_agreement", found.agreement)
    monkeypatch.setattr(runtime_choice, "is_installed", lambda runtime: True)
    return found


def chosen(
    cache: Path, request: RuntimeRequest = AUTO, info: ModelInfo = INFO, megapixels: float = LARGE
) -> RuntimeChoice:
    return choose_runtime(info, request, megapixels, SAMPLE, cache)


def test_a_small_map_stays_with_the_files_own_runtime(machine: Machine) -> None:
    assert not needs_sample(INFO, AUTO, LARGE - 0.1)
    assert choose_runtime(INFO, AUTO, LARGE - 0.1, None) == RuntimeChoice("torch", "float32", "the map is small")
    onnx = dataclasses.replace(INFO, format="onnx")
    assert choose_runtime(onnx, AUTO, 1, None).runtime == "onnxruntime"
    assert machine.timed == []


@pytest.mark.parametrize(
    ("seconds", "runtime"),
    [
        ({}, "torch"),
        ({"openvino": 0.86, "onnxruntime": 0.9}, "torch"),
        ({"openvino": 0.85}, "openvino"),
        ({"openvino": 0.5, "onnxruntime": 0.45}, "openvino"),
        ({"openvino": 0.5, "onnxruntime": 0.3}, "onnxruntime"),
        ({"openvino": "openvino: not here", "onnxruntime": 0.8}, "onnxruntime"),
    ],
    ids=str,
)
def test_a_clear_margin_or_the_order(
    machine: Machine, tmp_path: Path, seconds: dict[str, float | str], runtime: str
) -> None:
    machine.seconds |= seconds
    assert needs_sample(INFO, AUTO, LARGE)
    assert chosen(tmp_path).runtime == runtime


def test_the_reason_has_the_times_and_what_cannot_run(machine: Machine, tmp_path: Path) -> None:
    machine.seconds |= {"openvino": 0.5, "onnxruntime": "torch does not convert it to ONNX: no lgamma"}
    assert chosen(tmp_path).reason == (
        "openvino takes 0.50 of the time of torch; onnxruntime: torch does not convert it to ONNX: no lgamma"
    )


def test_what_was_measured_is_remembered_for_weights_and_processor(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.seconds["openvino"] = 0.5
    first = chosen(tmp_path)
    machine.seconds = {"torch": 0.1, "onnxruntime": 1.0, "openvino": 1.0}
    assert chosen(tmp_path) == first
    assert len(machine.timed) == 3
    assert chosen(tmp_path, info=dataclasses.replace(INFO, sha256="1")).runtime == "torch"
    monkeypatch.setattr(runtime_choice, "processor", lambda: "another")
    assert chosen(tmp_path).runtime == "torch"
    assert processor() == processor()


def test_of_two_processes_that_measure_at_once_the_first_counts(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.seconds["openvino"] = 0.5

    inner = machine.time
    calls: list[Any] = []

    def timed(info: ModelInfo, sample: RuntimeSample) -> float | str:
        if not calls:
            calls.append(1)
            monkeypatch.setattr(runtime_choice, "_time", inner)
            assert chosen(tmp_path).runtime == "openvino"
        return 1.0

    monkeypatch.setattr(runtime_choice, "_time", timed)
    assert chosen(tmp_path).runtime == "openvino"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1.0]", b'[1.0, null, "x"]'])
def test_a_damaged_record_is_measured_again(machine: Machine, tmp_path: Path, damage: bytes) -> None:
    chosen(tmp_path)
    (record,) = tmp_path.glob("*.json")
    record.write_bytes(damage)
    machine.seconds["openvino"] = 0.5
    assert chosen(tmp_path).runtime == "openvino"
    machine.seconds["openvino"] = 1.0
    assert chosen(tmp_path).runtime == "openvino"


def test_a_runtime_that_gives_other_classes_is_not_chosen(machine: Machine, tmp_path: Path) -> None:
    machine.seconds |= {"openvino": 0.2, "onnxruntime": 0.5}
    machine.agree["openvino"] = 0.99
    found = chosen(tmp_path)
    assert found.runtime == "onnxruntime"
    assert "openvino: only 99.0000 % of 1000000 pixels agree" in found.reason


@pytest.mark.parametrize(("share", "precision"), [(0.99995, "bfloat16"), (0.99985, "float32")])
def test_a_reduced_precision_has_to_agree(machine: Machine, tmp_path: Path, share: float, precision: str) -> None:
    machine.seconds |= {"torch bfloat16": 0.5, "openvino": 0.6, "openvino bfloat16": 0.2}
    machine.agree |= {"openvino bfloat16": share, "torch bfloat16": share}
    found = chosen(tmp_path, RuntimeRequest(precision="auto"), megapixels=1)
    assert (found.runtime, found.precision) == ("openvino", precision)
    strict = chosen(tmp_path, RuntimeRequest(precision="auto", agreement=0.9999999), megapixels=1)
    assert strict.precision == "float32"
    assert f"openvino in bfloat16: only {100 * share:.4f} % of 1000000 pixels agree" in strict.reason


def test_a_precision_without_a_clear_margin_is_not_used(machine: Machine, tmp_path: Path) -> None:
    machine.seconds |= {"torch bfloat16": 3.0, "openvino": 0.6, "openvino bfloat16": 0.58}
    assert chosen(tmp_path, RuntimeRequest(precision="auto")).precision == "float32"


def test_what_the_spec_names_is_used_or_an_error(machine: Machine, tmp_path: Path) -> None:
    request = RuntimeRequest("openvino")
    assert needs_sample(INFO, request, 1)
    assert chosen(tmp_path, request, megapixels=1) == RuntimeChoice("openvino", "float32", "")
    assert chosen(tmp_path, RuntimeRequest("torch")) == RuntimeChoice("torch", "float32", "")
    machine.agree["openvino"] = 0.9
    with pytest.raises(
        ModelError, match="runtime openvino gives another class than torch for 100000 of 1000000 pixels"
    ):
        chosen(tmp_path, request)
    machine.agree["torch bfloat16"] = 0.9
    assert chosen(tmp_path, RuntimeRequest("torch", "bfloat16")).precision == "bfloat16"
    assert machine.timed == []


def test_a_gpu_is_torchs(machine: Machine, tmp_path: Path) -> None:
    info = dataclasses.replace(INFO, device="cuda")
    assert not needs_sample(info, AUTO, LARGE)
    assert choose_runtime(info, AUTO, LARGE, None) == RuntimeChoice("torch", "float32", "")
    machine.seconds["torch bfloat16"] = 0.4
    assert chosen(tmp_path, RuntimeRequest(precision="auto"), info).precision == "bfloat16"
    assert machine.timed == ["torch", "torch bfloat16"]


def test_the_choice_is_applied_to_the_model() -> None:
    found = RuntimeChoice("openvino", "bfloat16", "why").applied(INFO)
    assert (found.runtime, found.precision, found.is_plain) == ("openvino", "bfloat16", False)
