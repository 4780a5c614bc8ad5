"""Whether the container is well: one of its processes listens, as schedulers and workers do. Exit code 0 or 1."""

import contextlib
import sys

import psutil

root = psutil.Process(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
for process in [root, *root.children(recursive=True)]:
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):
        if any(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp")):
            sys.exit(0)
sys.exit(1)
