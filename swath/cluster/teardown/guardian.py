"""The guardian: a process that outlives the client of a cloud cluster, and removes its machines when the client is gone.

It waits at a pipe that only the client holds open. Killed, crashed or out of memory, a client that ends in any way closes it;
one that has confirmed by itself that nothing is left says so first. A guardian ends within WITHIN_S of its client's end.
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

from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.removal import quiet, remove_all, within
from swath.engine.journal import Journal
from swath.errors import InfrastructureError, SwathError

READY, GONE = b"ready\n", b"gone\n"
"""What the guardian says when it listens, and what the client says when nothing is left to be removed."""
QUIET_S = 20.0
"""A machine that was just asked for when the client ended may be listed so much later."""
WITHIN_S = 1800.0
ENDS_S = 5.0
"""One that has nothing to do ends in much less."""
LOG = "guardian.log"
"""In the run's folder."""


class Guardian:
    """The client's end of the pipe."""

    def __init__(self, pid: int, pipe: BinaryIO) -> None:
        self.pid = pid
        self.released = False
        self._pipe = pipe

    def release(self) -> None:
        """Nothing is left: the guardian has nothing to do."""
        self.released = True
        with contextlib.suppress(OSError):  # somebody has ended it
            self._pipe.write(GONE)
            self._pipe.close()


@contextlib.contextmanager
def guarded(lease: CloudLease, state: Path) -> Iterator[Guardian]:
    """A guardian beside the body; when the body has not released it, it removes the lease's machines afterwards.

    Raises InfrastructureError when it does not start: without a guardian no machine is made.
    """
    folder = state / "runs" / lease.run
    folder.mkdir(parents=True, exist_ok=True)
    (its_end, ours), (heard, its_voice) = os.pipe(), os.pipe()
    with contextlib.ExitStack() as exits:
        pipe, voice = (
            exits.enter_context(os.fdopen(ours, "wb", buffering=0)),
            exits.enter_context(os.fdopen(heard, "rb")),
        )
        with os.fdopen(its_end), os.fdopen(its_voice), (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "swath.cluster.teardown.guardian", lease.run, lease.id, str(state)],
                stdin=its_end,
                stdout=its_voice,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is for the client alone
            )
        if voice.readline() != READY:
            raise InfrastructureError(
                f"the guardian, which removes machines when this process is gone, did not start: exit code {process.wait()}",
                remedy=f"what it said is in {folder / LOG}",
            )
        guardian = Guardian(process.pid, pipe)
        try:
            yield guardian
        finally:
            if guardian.released:
                process.wait(ENDS_S)


def main(words: list[str]) -> int:
    """Run, lease, state folder: be the guardian of that lease."""
    run, identity, state = words
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it is no use to anybody when it ends before its client
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    lease = CloudLease.parse(run, identity)
    os.chdir(state)  # the client's own folder may be gone
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    if sys.stdin.buffer.read().endswith(GONE):
        return 0
    logging.info("the client of %s is gone: its machines are removed", run)
    try:
        count = remove_all(
            lease.fleet,
            lease.label,
            quiet_s=quiet(QUIET_S),
            within_s=within(WITHIN_S),
            say=logging.warning,
        )
        logging.info("%d machines removed; none is left", count)
        with Journal.open(Path(state)) as journal:
            lease.end(journal)
    except SwathError as error:
        logging.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
