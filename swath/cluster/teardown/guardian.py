"""The guardian: a process that outlives the client of a cloud cluster, and terminates its machines when the client is gone.

It reads from a pipe that only the client holds open. A client that ends in any way (killed, crashed, out of memory) closes the
pipe; one that has confirmed itself that nothing is left writes so first, and the guardian ends.

    python -m swath.cluster.teardown.guardian RUN LEASE STATE_FOLDER
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from swath.cluster.providers.fleets import fleet_of
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.removal import RemovalLimits, remove_all
from swath.engine.journal import Journal
from swath.errors import InfrastructureError, SwathError

READY, RELEASED = b"ready\n", b"gone\n"
"""Messages: the guardian has started; the client has confirmed that no machine is left."""
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
        self._pipe = pipe

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
                [sys.executable, "-m", "swath.cluster.teardown.guardian", lease.run, lease.id, str(state)],
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
                process.wait(EXIT_S)


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
    if sys.stdin.buffer.read().endswith(RELEASED):
        return 0
    logging.info("the client of %s is gone: its machines are removed", run)
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
