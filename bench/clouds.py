"""Time until the first result of a cluster in a cloud, and until its machines are gone: dask-cloudprovider's classes beside swath.

Run: python bench/clouds.py [--on ec2] [--times 3]. In simulated clouds (tests/clouds) machines boot at once, so the times are those of
clients and machines themselves. For swath it is a whole `pipe run`, which ends when listings have been empty for some time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.clouds.control import Cloud, started  # noqa: E402
from tests.clouds.projects import QUICK, project  # noqa: E402
from tests.faults.projects import tiles  # noqa: E402

STANDARD = """
import sys
from distributed import Client
from tests.clouds import standard as classes
from tests.clouds.control import Cloud
import json
cloud = Cloud(**json.loads(sys.argv[1]))
cluster = classes.ec2_cluster(cloud, n_workers=1) if cloud.kind == "ec2" else classes.gcp_cluster(cloud, n_workers=1)
with cluster, Client(cluster) as client:
    client.submit(abs, -1).result()
    print("called", flush=True)
"""


def standard(cloud: Cloud, folder: Path) -> tuple[float, float]:
    """Seconds from the start of a client to its first result, and from there to its end."""
    fields = {name: getattr(cloud, name) for name in ("kind", "control", "endpoint", "environment", "network")}
    command = [sys.executable, "-c", STANDARD, json.dumps(fields | {"root": str(cloud.root)})]
    env = project(folder, cloud).env
    began = time.monotonic()
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in ("called\n", ""):
            continue
        called = time.monotonic()
        process.wait()
    return called - began, time.monotonic() - called


def swath(cloud: Cloud, folder: Path) -> tuple[float, float]:
    """The same for `pipe run`: until the first call has ended on a worker, and from the last call to the end."""
    pipe = project(folder, cloud)
    spec = tiles(pipe, cluster="cloud", n=1)
    began = time.time()
    done = pipe("run", "--fresh", "--json", spec, timeout=300)
    ended = time.time()
    calls = [event["time"] for event in done.events if event["event"] == "call_done" and event["node"] == "tile"]
    return calls[0] - began, ended - calls[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", choices=("ec2", "gce"), action="append", help="default: both")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    print(f"medians of {options.times}, empty listings for {QUICK['SWATH_CLOUD_QUIET_S']} s")
    print(f"{'cloud':6}{'who':10}{'first result':>14}{'teardown':>10}{'left':>6}")
    with tempfile.TemporaryDirectory() as scratch:
        for kind in options.on or ("ec2", "gce"):
            with started(kind, Path(scratch) / kind) as cloud:
                for who, measure in (("standard", standard), ("swath", swath)):
                    times = [measure(cloud, Path(scratch) / f"{kind}-{who}-{n}") for n in range(options.times)]
                    up, down = (statistics.median(each) for each in zip(*times, strict=True))
                    print(f"{kind:6}{who:10}{up:12.1f} s{down:8.1f} s{len(cloud.alive()):6}", flush=True)
                    cloud.reset()


if __name__ == "__main__":
    main()
