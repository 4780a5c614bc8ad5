"""Faults 13 and 16: a connection to the scheduler that is cut, a scheduler that is not reached any more, a worker that is stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.projects import Mark, check_journal, finished, wait_for
from tests.faults.remote_cluster import Remote
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.test_workers import acts, check, ended, remote, started_on
from tests.process import Pipe

__all__ = ["remote"]


@pytest.mark.slow
def test_connections_to_the_scheduler_that_are_cut_are_taken_up_again(
    pipe: Pipe, remote: Callable[..., Remote]
) -> None:
    there = remote()
    for _ in range(2):
        there.worker()
    there.wait_for_workers(2)
    proxy = TcpProxy(there.address.removeprefix("tcp://"))
    mark = Mark()
    spec = acts(pipe, cluster=f"tcp://{proxy.address}", n=16, seconds=0.5)
    process = pipe.start("run", spec, env=mark.env)
    for done in (2, 6):
        wait_for(lambda done=done: len(ended(pipe)) >= done)
        assert proxy.cut() > 0
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    check(pipe, mark, 16)
    proxy.close()


@pytest.mark.slow
def test_a_scheduler_that_is_not_reached_any_more_is_exit_code_5_with_its_address(
    pipe: Pipe, remote: Callable[..., Remote]
) -> None:
    there = remote()
    there.worker()
    proxy = TcpProxy(there.address.removeprefix("tcp://"))
    process = pipe.start("run", acts(pipe, cluster=f"tcp://{proxy.address}", n=40, seconds=0.5))
    wait_for(lambda: len(ended(pipe)) >= 2)
    proxy.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert f"the Dask scheduler at tcp://{proxy.address} is lost" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["time limit", "Ctrl-C"])
def test_a_stopped_worker_does_not_keep_a_run_that_was_told_to_stop(pipe: Pipe, how: str) -> None:
    mark = Mark()
    limit = ("--timeout", "15s") if how == "time limit" else ()
    process = pipe.start("run", acts(pipe, deed="stop once", n=40, seconds=0.5), *limit, env=mark.env)
    wait_for(lambda: started_on(pipe, 3))
    worker = started_on(pipe, 3)
    assert worker is not None
    wait_for(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED)
    wait_for(lambda: finished(pipe, "act") >= 8)
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 40
    assert process.returncode == (1 if limit else 130), err
    assert "pipe resume" in err
    mark.check_none_left(5)
    check_journal(pipe)
    pipe("resume", "last")
    check(pipe, mark, 40)
