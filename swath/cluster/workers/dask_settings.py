"""Dask's settings for clusters that are made for one run, in every one of their processes."""

from __future__ import annotations

SETTINGS = {
    # A call that ends its worker is tried on two more, then it is set aside.
    "distributed.scheduler.allowed-failures": 2,
    # One call per thread at a time: a call that kills its worker takes no other with it.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker that nears its limit is restarted; nothing of worth is in its memory.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A long call holds the interpreter: that is no reason to think that its worker is gone.
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.admin.tick.limit": "1 hour",
    # How often each process looks for that: every 20 ms, an idle cluster of two would take a tenth of a core.
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
    # The scheduler keeps so many of the last messages of each topic, our own lines and progress among them.
    "distributed.admin.log-length": 100,
    "distributed.comm.timeouts.connect": "60s",
    # Nobody reads Dask's own pages, and they would be open to every user of this machine.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
