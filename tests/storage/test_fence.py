from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from swath.errors import StateError
from swath.storage import fence
from swath.storage.fence import FenceLimits, wait_for_fence, write_fence
from swath.storage.publication import Staging

QUICK = FenceLimits(poll_s=0.01, timeout_s=0.2)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(fence.VARIABLE, str(tmp_path / "fence.json"))
    return tmp_path / "fence.json"


def test_without_a_supervisor_there_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fence.VARIABLE, raising=False)
    wait_for_fence()


def test_a_valid_fence_lets_pass_and_one_that_ran_out_is_waited_for(file: Path) -> None:
    write_fence(file, fence.now() + 60)
    wait_for_fence(QUICK)
    write_fence(file, fence.now() - 1)
    with pytest.raises(StateError, match="has not answered"):
        wait_for_fence(QUICK)
    again = threading.Timer(0.1, lambda: write_fence(file, fence.now() + 60))
    again.start()
    wait_for_fence(FenceLimits(poll_s=0.01, timeout_s=20))
    again.join()


def test_a_fence_that_is_not_there_yet_or_damaged_lets_nothing_pass(file: Path) -> None:
    for text in (None, "", "{", "[]", '"x"'):
        if text is not None:
            file.write_text(text)
        with pytest.raises(StateError, match="has not answered"):
            wait_for_fence(QUICK)


def test_an_attempt_that_was_given_up_publishes_nothing(file: Path, tmp_path: Path) -> None:
    write_fence(file, 0)
    began = time.monotonic()
    with Staging(str(tmp_path / "out"), "run") as staging:
        (staging.folder / "map.tif").write_bytes(b"new")
        with pytest.raises(StateError, match="another attempt has taken this run's place"):
            staging.publish({})
    assert time.monotonic() - began < 10
    assert not (tmp_path / "out").exists()
