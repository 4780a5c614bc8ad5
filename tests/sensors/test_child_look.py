"""A look in a process of its own: what it answers is checked before it is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.sensors.child_look import ChildLook, LookFailed, checked_look
from swath.triggers.trigger import FilesSensor
from tests.waiting import until


def test_a_look_of_a_process_finds_what_the_sensor_finds(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    child = ChildLook(FilesSensor(paths="*.tif", quiet=0, spec="s"), None, 2e9, tmp_path)
    until(child.done)
    (found,) = child.look().found
    assert found.key == found.values["key"] == "a.tif"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense", b"[]", b"{}", b'{"found": 3}', b'{"found": [3]}', b'{"found": [{"key": ""}]}',
        json.dumps({"found": [{"key": "x" * 501, "values": {}}]}).encode(),
        json.dumps({"found": [{"key": "a\nb", "values": {}}]}).encode(),
        json.dumps({"found": [{"key": "a", "values": []}]}).encode(),
        json.dumps({"found": [{"key": str(n), "values": {}} for n in range(10_001)]}).encode(),
        b'{"error": "the server is away"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_answer_of_a_look_is_not_believed(answer: bytes) -> None:
    with pytest.raises(LookFailed):
        checked_look(answer)


def test_a_thing_that_is_found_twice_in_a_look_counts_once() -> None:
    entries: list[dict[str, Any]] = [{"key": "a", "values": {"n": 1}}, {"key": "a", "values": {"n": 2}}]
    assert len(checked_look(json.dumps({"found": entries}).encode()).found) == 1
