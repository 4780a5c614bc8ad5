"""Modules that worker processes have imported before they are forked. Imported by the fork server only."""

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

allocator.keep_pages()  # before any thread; forked processes inherit it

if os.environ.pop(fork_server.END_WITH_PARENT, ""):
    fork_server.end_with_parent()
    os.register_at_fork(after_in_child=fork_server.end_with_parent)

# Tornado reads the system's certificates before the first TLS connection, which does not use them: once here, not in each worker.
netutil: Any = vars(distributed.comm.tcp)["netutil"]
ssl_defaults = getattr(netutil, "_client_ssl_defaults", None)
if callable(ssl_defaults):
    ssl_defaults()
