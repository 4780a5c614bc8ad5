"""The frame of every cluster in a cloud: nothing is created before it is leased and guarded, and nothing is left at the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from swath import crashpoint
from swath.cluster.contract import RunContext
from swath.cluster.providers.fleets import fleet_of
from swath.cluster.teardown.guardian import Guardian, guarded
from swath.cluster.teardown.lease import CloudLease, open_leases
from swath.cluster.teardown.removal import remove_all
from swath.errors import StateError

STOP_POLL_S = 0.5


@contextlib.contextmanager
def leased(lease: CloudLease, context: RunContext) -> Iterator[None]:
    """Inside, machines of a lease may be launched; afterwards all of them are terminated, whatever happened.

    Machines of earlier clusters of the run, which was killed and resumed, are terminated first. Raises CredentialsError and
    InfrastructureError when machines cannot be listed or the guardian does not start, before anything was created, and
    TeardownError when it is not certain that no machine is left.
    """
    fleet_of(lease.kind, lease.place).machines(lease.label)  # without credentials or network nothing is begun
    for earlier in open_leases(context.journal, context.run):
        _remove(earlier, context)
    lease.write(context.journal)
    with guarded(lease, context.journal.folder) as guardian:
        crashpoint.reached("leased")
        ended = threading.Event()
        threading.Thread(target=_tell_of_stop, args=(guardian, context, ended), name="stop", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            guardian.ending()
            _remove(lease, context)
            guardian.release()


def _tell_of_stop(guardian: Guardian, context: RunContext, ended: threading.Event) -> None:
    """Tell the guardian when the run is asked to stop: whatever this process waits for then, the machines end."""
    while not ended.wait(STOP_POLL_S):
        if context.stop.requested is not None:
            guardian.ending()
            return


def _remove(lease: CloudLease, context: RunContext) -> None:
    remove_all(fleet_of(lease.kind, lease.place), lease.label, say=lambda text: context.say("warning", text))
    with contextlib.suppress(StateError):  # the next `pipe sweep` ends it
        lease.end(context.journal)
