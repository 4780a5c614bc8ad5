"""The guardian: a process that outlives the client of a cloud cluster, and terminates its machines when the client is gone.

It reads from a pipe that only the client holds open. A client that ends in any way (killed, crashed, out of memory) closes the
pipe; one that has confirmed itself that nothing is left writes so first, and the guardian ends. A client that was told to stop, or
closes its cluster, writes that too: when it has not ended some minutes later, the guardian terminates its machines.

    python -m swath.cluster.teardown.guardian RUN LEASE STATE_FOLDER
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from swath.cluster.providers.fleets import fleet_of
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.removal import RemovalLimits, remove_all
from swath.engine.journal import Journal
from swath.errors import InfrastructureError, SwathError

READY, ENDING, RELEASED = b"ready\n", b"ending\n", b"gone\n"
"""Messages: the guardian has started; the client ends its cluster; it has confirmed that no machine is left."""
END_S = 420.0
"""A client that ends its cluster confirms within this that no machine is left: longer than its own limits together."""
END = "SWATH_CLOUD_END_S"
"""Environment variable with another number of seconds for it, for simulated clouds."""
LIMITS = RemovalLimits(empty_for_s=20.0, give_up_s=1800.0)
"""Longer than the client's: a machine may be listed only 20 s after the client that launched it was killed."""
EXIT_S = 5.0
"""A guardian that was released ends in much less."""
LOG = "guardian.log"
"""In the run's folder."""


class Guardian:
    """The client's end of the pipe."""

    def __init__(self, pid: int, pipe: BinaryIO) -> None:
        self.pid = pid
        self.released = False
        self._ending = False
        self._pipe = pipe

    def ending(self) -> None:
        """Tell the guardian that the cluster is to end now. From any thread; more than once is as once."""
        if not self._ending and not self.released:
            self._ending = True
            with contextlib.suppress(OSError, ValueError):  # the process was killed, or the pipe is closed
                self._pipe.write(ENDING)

    def release(self) -> None:
        """Tell the guardian that no machine is left, so that it ends."""
        self.released = True
        with contextlib.suppress(OSError):  # the process was killed
            self._pipe.write(RELEASED)
            self._pipe.close()


@contextlib.contextmanager
def guarded(lease: CloudLease, state: Path) -> Iterator[Guardian]:
    """Run a guardian during the body. Unless it was released, it terminates the lease's machines afterwards.

    `state` is the state folder. Raises InfrastructureError when the guardian does not start.
    """
    folder = state / "runs" / lease.run
    folder.mkdir(parents=True, exist_ok=True)
    (guardian_stdin, client_end), (client_start, guardian_stdout) = os.pipe(), os.pipe()
    with contextlib.ExitStack() as exits:
        to_guardian = exits.enter_context(os.fdopen(client_end, "wb", buffering=0))
        from_guardian = exits.enter_context(os.fdopen(client_start, "rb"))
        with os.fdopen(guardian_stdin), os.fdopen(guardian_stdout), (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "swath.cluster.teardown.guardian", lease.run, lease.id, str(state)],
                stdin=guardian_stdin,
                stdout=guardian_stdout,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for the client alone
            )
        if from_guardian.readline() != READY:
            raise InfrastructureError(
                f"the guardian, which removes machines when this process is gone, did not start: exit code {process.wait()}",
                remedy=f"its output is in {folder / LOG}",
            )
        guardian = Guardian(process.pid, to_guardian)
        try:
            yield guardian
        finally:
            if guardian.released:
                with contextlib.suppress(subprocess.TimeoutExpired):  # it has begun to look for machines itself
                    process.wait(EXIT_S)


def _end_of_client(pipe: int, end_s: float) -> str:
    """Wait until the client is gone, or does not end in time; which of them. Empty when it has confirmed that nothing is left."""
    messages, deadline = b"", math.inf
    while True:
        timeout_s = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], timeout_s)[0]:
            return f"was told to stop, and has not ended within {end_s:g} s"
        part = os.read(pipe, 100)
        messages += part
        if RELEASED in messages:
            return ""
        if not part:
            return "is gone"
        if ENDING in messages and deadline == math.inf:
            deadline = time.monotonic() + end_s


def main(arguments: list[str]) -> int:
    """Guard a lease, given as run, lease and state folder. Returns an exit code."""
    run, lease_id, state = arguments
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it must not end before its client
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    lease = CloudLease.parse(run, lease_id)
    os.chdir(state)  # the client's own folder may be deleted
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    why = _end_of_client(sys.stdin.fileno(), float(os.environ.get(END) or END_S))
    if not why:
        return 0
    logging.info("the client of %s %s: its machines are removed", run, why)
    try:
        fleet = fleet_of(lease.kind, lease.place)
        count = remove_all(fleet, lease.label, limits=LIMITS.within_environment(), say=logging.warning)
        logging.info("%d machines removed; none is left", count)
        with Journal.open(Path(state)) as journal:
            lease.end(journal)
    except SwathError as error:
        logging.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
