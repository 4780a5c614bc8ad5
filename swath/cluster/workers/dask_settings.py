"""Dask's settings for clusters that swath starts, in the client, the scheduler and the workers."""

from __future__ import annotations

SETTINGS = {
    # A call whose worker ends is retried on two more, then it has failed.
    "distributed.scheduler.allowed-failures": 2,
    # One call per thread at a time: a call that kills its worker takes no other with it.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker near its memory limit is restarted: results are in the store, not in its memory.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A long call may hold the interpreter, so that its worker sends no heartbeats.
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.admin.tick.limit": "1 hour",
    # At Dask's default of 20 ms, an idle cluster of two workers takes a tenth of a core.
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
    # Messages of each topic that the scheduler stores, swath's log lines and progress among them.
    "distributed.admin.log-length": 100,
    "distributed.comm.timeouts.connect": "60s",
    # Dask's web pages would be open to every user of this machine.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
