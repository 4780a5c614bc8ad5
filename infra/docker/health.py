"""Health check of the container: exit code 0 when one of its processes listens at a port, as schedulers and workers do, else 1."""

import contextlib
import sys

import psutil

root = psutil.Process(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
for process in [root, *root.children(recursive=True)]:
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):
        if any(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp")):
            sys.exit(0)
sys.exit(1)
