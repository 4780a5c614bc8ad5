"""What worker processes of this machine have imported before they are forked. Imported by the fork server only."""

from __future__ import annotations

import os
from typing import Any

import distributed.comm.tcp
import distributed.nanny
import distributed.worker

import swath.cluster.workers.setup
import swath.cluster.workers.tls
import swath.engine.batch_execution
import swath.engine.executors.dask  # noqa: F401
from swath.cluster.local import fork_server
from swath.cluster.workers import allocator

allocator.keep_pages()  # before any thread; what is forked from here has it

if os.environ.pop(fork_server.ENDS, ""):
    fork_server.end_with_parent()
    os.register_at_fork(after_in_child=fork_server.end_with_parent)

# Tornado reads the system's certificates when the first TLS connection comes, to ignore them: once here, not in each worker.
netutil: Any = vars(distributed.comm.tcp)["netutil"]
warm = getattr(netutil, "_client_ssl_defaults", None)
if callable(warm):
    warm()
