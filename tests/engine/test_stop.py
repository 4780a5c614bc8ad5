from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from swath.engine.stop import Stop, StopNow
from swath.errors import Interrupted, Terminated, TimedOut
from tests.waiting import until

LIMIT = TimedOut("too long")


def no_thread_waits() -> bool:
    """Whether every time limit was reached, and every signal sent again that was to be."""
    return not any(t.name == "time limit" or isinstance(t, threading.Timer) for t in threading.enumerate())


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)]
)
def test_a_signal_asks_and_handlers_are_put_back(number: signal.Signals, kind: type[Exception]) -> None:
    before = signal.getsignal(number)
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), number)
        assert isinstance(stop.requested, kind)
    assert signal.getsignal(number) is before


def test_a_second_hangup_does_not_end_the_process_and_an_ignored_one_asks_for_nothing() -> None:
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert str(stop.requested) == "terminated: the terminal was closed (SIGHUP)"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        ignoring = Stop()
        with ignoring.on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert ignoring.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_time_limit_ends_a_call_in_this_process() -> None:
    stop = Stop()
    began = time.monotonic()
    with stop.on_signals(), stop.after(0.1, LIMIT), contextlib.suppress(StopNow), stop.in_call():
        time.sleep(20)
    assert time.monotonic() - began < 10
    assert stop.requested is LIMIT


def test_an_import_is_not_cut_off_in_the_middle_but_the_call_ends_right_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.2)\nWHOLE = True\n"
    (tmp_path / "imported_by_a_call.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    stop = Stop()
    began = time.monotonic()

    def call() -> None:
        with stop.in_call():
            importlib.import_module("imported_by_a_call")
            time.sleep(20)

    with stop.on_signals():
        with pytest.raises(StopNow):
            call()
        assert sys.modules.pop("imported_by_a_call").WHOLE
        until(no_thread_waits)
    assert isinstance(stop.requested, Terminated)
    assert time.monotonic() - began < 10


def test_a_run_that_ends_in_time_is_not_asked() -> None:
    stop = Stop()
    with stop.on_signals(), stop.after(30, LIMIT):
        pass
    assert no_thread_waits()
    assert stop.requested is None


def test_a_time_limit_that_comes_upon_a_stopping_run_is_no_second_signal() -> None:
    stop = Stop()
    with stop.on_signals(), stop.after(0.1, LIMIT):
        os.kill(os.getpid(), signal.SIGINT)
        until(no_thread_waits)
    assert isinstance(stop.requested, Interrupted)


def test_off_the_main_thread_a_time_limit_asks_without_a_signal() -> None:
    stop = Stop()

    def run() -> None:
        with stop.on_signals(), stop.after(0.05, LIMIT):
            until(lambda: stop.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert stop.requested is LIMIT
