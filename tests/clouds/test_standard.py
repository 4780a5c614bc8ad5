"""The simulated clouds take dask-cloudprovider's own clusters: real user data, real TLS, a real distributed run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clouds.control import Cloud

pytestmark = pytest.mark.slow

# In a process of its own: the standard classes leave their certificates in Dask's settings.
RUN = """
import json, os, sys
from pathlib import Path
from distributed import Client
from tests.clouds import standard
from tests.clouds.control import Cloud

cloud = Cloud(**json.loads(sys.argv[1]) | {"root": Path()})
make = standard.ec2_cluster if cloud.kind == "ec2" else standard.gcp_cluster

def where(number):
    return number * number, os.environ["MACHINE_ID"]

with make(cloud, n_workers=1, env_vars={"TOLD": "two words"}) as cluster, Client(cluster) as client:
    assert cluster.scheduler_address.startswith("tls://127."), cluster.scheduler_address
    client.wait_for_workers(1, timeout=60)
    assert [square for square, _ in client.gather(client.map(where, range(20)))] == [n * n for n in range(20)]
    assert set(client.run(os.getenv, "TOLD").values()) == {"two words"}
    cluster.scale(2)
    client.wait_for_workers(2, timeout=60)
    machines = {machine for _, machine in client.gather(client.map(where, range(100, 200)))}
    assert len(machines) == 2 and len(cloud.alive()) == 3, (machines, cloud.alive())
    cluster.scale(1)
    assert cloud.until(lambda: len(cloud.alive()) == 2), cloud.alive()
"""


def come_up(cloud: Cloud) -> None:
    import dataclasses
    import json

    fields = dataclasses.asdict(cloud) | {"root": "", "opener": None}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(fields)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert cloud.empty(5)


def test_the_standard_ec2_cluster_comes_up_scales_and_goes(ec2_cloud: Cloud) -> None:
    come_up(ec2_cloud)
    assert ec2_cloud.actions().count("RunInstances") == ec2_cloud.actions().count("TerminateInstances") == 3


def test_the_standard_gcp_cluster_comes_up_scales_and_goes(gce_cloud: Cloud) -> None:
    come_up(gce_cloud)
    assert gce_cloud.actions().count("instances.insert") == gce_cloud.actions().count("instances.delete") == 3
