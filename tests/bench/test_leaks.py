"""The table of leaks: what is left is counted for both, and an event that was never caused is no success."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "leaks.py"


@pytest.fixture
def leaks(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = importlib.util.spec_from_file_location("leaks", BENCH)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "leaks", module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    found.loader.exec_module(module)
    return module


def test_the_table_counts_what_is_left_and_tells_what_was_not_caused(leaks: Any) -> None:
    plain = {
        "cloud": "ec2",
        "event": "killed",
        "description": "SIGKILL",
        "most": 3,
        "hung": False,
        "replaced": None,
        "seconds": 1.0,
    }
    rows = [
        leaks.Row(**plain, who="standard", caused=True, left=3, code=-9),
        leaks.Row(**plain, who="swath", caused=False, left=0, code=5),
        leaks.Row(
            **plain | {"description": "hang", "event": "h", "hung": True},
            who="standard",
            caused=True,
            left=2,
            code=None,
        ),
    ]
    head, first, second, total = leaks.table(rows).splitlines()
    assert head.split() == ["cloud", "event", "standard", "swath"]
    assert "3 left, exit -9" in first
    assert "0 left, ended too soon" in first
    assert "2 left, hangs" in second
    assert total.split()[-2:] == ["5", "0"]


def test_every_event_has_a_name_of_its_own_and_waits_for_what_it_needs(leaks: Any) -> None:
    names = [event.name for event in leaks.EVENTS]
    assert len(set(names)) == len(names)
    assert {event.at for event in leaks.EVENTS} == {"up", "waiting"}
