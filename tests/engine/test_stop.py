from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from swath.engine.stop import Stop, StopNow
from swath.errors import Interrupted, Terminated, TimedOut

LIMIT = TimedOut("too long")


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)])
def test_a_signal_asks_and_handlers_are_put_back(number: signal.Signals, kind: type[Exception]) -> None:
    before = signal.getsignal(number)
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), number)
        assert isinstance(stop.asked, kind)
    assert signal.getsignal(number) is before


def test_a_time_limit_ends_a_call_in_this_process() -> None:
    stop = Stop()
    began = time.monotonic()
    with stop.on_signals(), stop.after(0.1, LIMIT), contextlib.suppress(StopNow), stop.in_call():
        time.sleep(20)
    assert time.monotonic() - began < 10
    assert stop.asked is LIMIT


def test_a_run_that_ends_in_time_is_not_asked() -> None:
    stop = Stop()
    with stop.on_signals(), stop.after(0.2, LIMIT):
        pass
    time.sleep(0.3)
    assert stop.asked is None


def test_a_time_limit_that_comes_upon_a_stopping_run_is_no_second_signal() -> None:
    stop = Stop()
    with stop.on_signals(), stop.after(0.1, LIMIT):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
    assert isinstance(stop.asked, Interrupted)


def test_off_the_main_thread_a_time_limit_asks_without_a_signal() -> None:
    stop = Stop()

    def run() -> None:
        with stop.on_signals(), stop.after(0.05, LIMIT):
            time.sleep(0.3)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert stop.asked is LIMIT
