"""The same weights are measured once for all projects of a user; a record that does not fit is no measurement."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swath.models import measurements
from swath.models.contract import ReceptiveField, Weights
from swath.models.measurements import measure_once

WEIGHTS = Weights("/a/model.pt2", "pt2", "0" * 64, None, 4)
FIELD = ReceptiveField(51, 8, True, "", 16)


class Measured:
    """Measures, and counts how often."""

    def __init__(self, field: ReceptiveField = FIELD) -> None:
        self.field, self.count = field, 0

    def __call__(self, weights: Weights) -> ReceptiveField:
        self.count += 1
        return self.field


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_the_second_project_measures_nothing_wherever_the_file_is(measured: Measured, tmp_path: Path) -> None:
    assert measure_once(WEIGHTS, measured, tmp_path / "new") == FIELD
    assert measure_once(replace(WEIGHTS, path="/b/copy.pt2"), measured, tmp_path / "new") == FIELD
    assert measured.count == 1
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "new", *(tmp_path / "new").iterdir())] == [0, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "1" * 64}, {"factory": "nets:make"}, {"code": "x"}, {"bands": 3}, {"output": "out"}, {"channels": 2},
        {"format": "onnx"},
    ],
)  # fmt: skip
def test_other_weights_code_bands_and_outputs_are_measured(
    measured: Measured, tmp_path: Path, change: dict[str, Any]
) -> None:
    measure_once(WEIGHTS, measured, tmp_path)
    measure_once(replace(WEIGHTS, **change), measured, tmp_path)
    assert measured.count == 2


def test_another_version_of_torch_or_swath_measures_again(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_once(WEIGHTS, measured, tmp_path)
    monkeypatch.setattr(measurements.metadata, "version", lambda name: "99.0")
    measure_once(WEIGHTS, measured, tmp_path)
    monkeypatch.setattr(measurements, "__version__", "99.0")
    measure_once(WEIGHTS, measured, tmp_path)
    assert measured.count == 3


def changed(record: Path, **fields: Any) -> None:
    document = json.loads(record.read_text())
    document["field"] |= fields
    record.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.write_text("{"),
        lambda record: record.write_text("[]"),
        lambda record: record.write_text(json.dumps({"facts": {}, "field": {}})),
        lambda record: changed(record, radius=-1),
        lambda record: changed(record, stride=0),
        lambda record: changed(record, stride="8"),
        lambda record: changed(record, more=1),
        lambda record: record.chmod(0o666),
        lambda record: (record.rename(record.with_suffix(".away")), record.symlink_to(record.with_suffix(".away"))),
    ],
)
def test_a_damaged_record_or_one_that_others_can_write_is_not_used(
    measured: Measured, tmp_path: Path, damage: Any
) -> None:
    measure_once(WEIGHTS, measured, tmp_path)
    (record,) = tmp_path.iterdir()
    damage(record)
    assert measure_once(WEIGHTS, measured, tmp_path) == FIELD
    assert measured.count == 2


def test_a_folder_that_cannot_be_written_and_a_failure_leave_nothing(measured: Measured, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert measure_once(WEIGHTS, measured, tmp_path / "file" / "cache") == FIELD

    def fail(weights: Weights) -> ReceptiveField:
        raise ValueError("no network")

    with pytest.raises(ValueError, match="no network"):
        measure_once(WEIGHTS, fail, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_folder_is_the_user_s_own(measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measure_once(WEIGHTS, measured)
    assert len(list((tmp_path / "swath/receptive").iterdir())) == 1
