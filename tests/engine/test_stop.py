from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.engine.stop import Stop, StopLimits, StopNow
from swath.errors import Interrupted, Terminated, TimedOut
from swath.storage.publication import _signals_delayed
from tests.process import ROOT
from tests.waiting import until

LIMIT = TimedOut("too long")


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Also when the tests run under nohup, which has SIGHUP ignored in all processes below it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


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


# --- calls that hear nothing

DEAF = """
import ctypes, os, signal, sys, threading, time
from swath.engine.stop import Stop, StopLimits, StopNow
from swath.errors import TimedOut

grace_s, second_s, left = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
stop = Stop(StopLimits(grace_s, second_s, 60))
stop.on_leaving = lambda reason: open(left, "w").write(f"{reason.status} {reason.exit_code}")
computes = False

def tell():
    while not computes:
        time.sleep(0.01)
    print("computes", flush=True)
    if len(sys.argv) > 4:
        stop.request(TimedOut("too long"))

sleep = ctypes.CDLL(None).sleep
with stop.on_signals(), stop.in_call():
    threading.Thread(target=tell, daemon=True).start()
    # C code goes on after a signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    sys.setswitchinterval(1000)  # the other thread sees this only when the interpreter is released, in `sleep`
    computes = True
    sleep(600)
"""


def deaf(left: Path, grace_s: float, second_s: float, *more: str) -> subprocess.Popen[str]:
    """A process whose main thread is in C code for ten minutes."""
    words = [sys.executable, "-c", DEAF, str(grace_s), str(second_s), str(left), *more]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "computes\n"
    return process


def test_a_signal_in_an_import_before_the_call_stops_hearing_ends_it_too(tmp_path: Path) -> None:
    """The signal is sent again after the import, and comes while the call computes."""
    (tmp_path / "long_import.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\n"
    )
    importing = DEAF.replace(
        "    sys.setswitchinterval",
        f"    sys.path.insert(0, {str(tmp_path)!r})\n    import long_import\n    sys.setswitchinterval",
    )
    importing = importing.replace("    signal.pthread_sigmask", "    pass  # signal.pthread_sigmask").replace(
        "    sleep(600)", "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n    sleep(600)"
    )
    words = [sys.executable, "-c", importing, "0.5", "300", str(tmp_path / "left")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, (tmp_path / "left").read_text()) == (143, "terminated 143"), done.stderr


@pytest.mark.parametrize(
    ("number", "ended"),
    [(signal.SIGTERM, "terminated 143"), (signal.SIGINT, "interrupted 130"), (signal.SIGHUP, "terminated 143")],
)
def test_a_call_that_hears_nothing_ends_with_its_process_after_the_grace_time(
    tmp_path: Path, number: signal.Signals, ended: str
) -> None:
    process = deaf(tmp_path / "left", 0.3, 300)
    process.send_signal(number)
    _, err = process.communicate(timeout=240)
    assert (tmp_path / "left").read_text() == ended
    assert process.returncode == int(ended.split()[1])
    assert "a call does not hear the signal, leaving; `pipe resume last` goes on" in err


def test_a_second_signal_ends_it_before_the_grace_time_with_the_first_ones_code(tmp_path: Path) -> None:
    process = deaf(tmp_path / "left", 300, 0.1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert (process.returncode, (tmp_path / "left").read_text()) == (130, "interrupted 130")


def test_a_time_limit_ends_it_too(tmp_path: Path) -> None:
    process = deaf(tmp_path / "left", 0.3, 300, "limit")
    process.communicate(timeout=240)
    assert (process.returncode, (tmp_path / "left").read_text()) == (1, "timed out 1")


def test_a_signal_that_is_heard_ends_nothing_after_the_grace_time() -> None:
    stop = Stop(StopLimits(grace_s=1, second_s=1))
    stop.on_leaving = lambda reason: os._exit(1)
    with stop.on_signals(), contextlib.suppress(StopNow), stop.in_call():
        os.kill(os.getpid(), signal.SIGTERM)
    with stop.on_signals():
        time.sleep(2.5)
    assert isinstance(stop.requested, Terminated)


def test_a_publication_that_delays_signals_is_not_cut_off() -> None:
    stop = Stop(StopLimits(grace_s=0.2, second_s=0.2))
    stop.on_leaving = lambda reason: os._exit(1)
    with stop.on_signals(), contextlib.suppress(StopNow), stop.in_call(), _signals_delayed():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.7)  # between two looks of the watch
        assert stop.requested is None
    assert isinstance(stop.requested, Terminated)
