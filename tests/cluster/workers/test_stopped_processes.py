from __future__ import annotations

import signal
import subprocess
import sys

import psutil

from swath.cluster.workers.stopped_processes import StoppedProcesses
from tests.waiting import until


def test_only_a_process_that_is_stopped_at_many_looks_in_a_row_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        looks = StoppedProcesses(3)

        def stop(number: signal.Signals, status: str) -> None:
            process.send_signal(number)
            until(lambda: (psutil.Process(process.pid).status() == psutil.STATUS_STOPPED) == (status == "stopped"), 5)

        assert [looks.look([process.pid]) for _ in range(5)] == [[]] * 5
        stop(signal.SIGSTOP, "stopped")
        assert [looks.look([process.pid]) for _ in range(2)] == [[]] * 2
        stop(signal.SIGCONT, "running")
        assert looks.look([process.pid]) == []
        stop(signal.SIGSTOP, "stopped")
        assert [looks.look([process.pid]) for _ in range(3)] == [[], [], [process.pid]]
        assert process.wait(5) == -signal.SIGKILL
        assert looks.look([process.pid]) == []
