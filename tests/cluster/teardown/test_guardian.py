"""The end of a client as its guardian sees it, through a pipe."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from swath.cluster.teardown.guardian import ENDING, RELEASED, Guardian, _end_of_client


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


def test_a_client_that_confirms_that_nothing_is_left_is_believed(pipe: tuple[int, int]) -> None:
    guardian = Guardian(0, os.fdopen(pipe[1], "wb", buffering=0))
    guardian.ending()
    guardian.ending()
    guardian.release()
    assert _end_of_client(pipe[0], 60) == ""
    guardian.ending()  # nothing: the pipe is closed


@pytest.mark.parametrize("message", [b"", ENDING])
def test_a_client_that_closes_the_pipe_is_gone(pipe: tuple[int, int], message: bytes) -> None:
    os.write(pipe[1], message)
    os.close(pipe[1])
    assert _end_of_client(pipe[0], 60) == "is gone"


def test_a_client_that_was_told_to_stop_and_does_not_end_in_time_is_not_waited_for(pipe: tuple[int, int]) -> None:
    began = time.monotonic()
    os.write(pipe[1], ENDING)
    assert _end_of_client(pipe[0], 0.3) == "was told to stop, and has not ended within 0.3 s"
    assert 0.25 < time.monotonic() - began < 10
    os.close(pipe[1])


def test_a_client_that_runs_is_waited_for_without_limit(pipe: tuple[int, int]) -> None:
    later = threading.Timer(0.5, os.write, (pipe[1], RELEASED))
    later.start()
    assert _end_of_client(pipe[0], 0.1) == ""
    later.join()
    os.close(pipe[1])
