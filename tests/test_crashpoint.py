from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from swath.crashpoint import parse, reached
from swath.errors import UsageError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("parsing", ("parsing", 1, signal.SIGKILL)),
        ("running@5", ("running", 5, signal.SIGKILL)),
        ("closing:INT", ("closing", 1, signal.SIGINT)),
        ("publishing@2:TERM", ("publishing", 2, signal.SIGTERM)),
    ],
)
def test_a_point_has_a_count_and_a_signal(text: str, meant: tuple[str, int, signal.Signals]) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize("text", ["", "lunch", "running@0", "running@x", "running:HUP", "running:kill", "running@2:"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SWATH_CRASH_AT"):
        parse(text)


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_CRASH_AT", raising=False)
    reached("parsing")


def test_the_signal_comes_the_nth_time_that_the_point_is_reached() -> None:
    code = "from swath.crashpoint import reached\nfor n in range(9): print(n, flush=True); reached('running'); reached('closing')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"SWATH_CRASH_AT": "running@3", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]
