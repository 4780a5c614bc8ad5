"""Whole runs on simulated clouds, imagery and output in their buckets: the very files of a local run, and no machine left."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from swath.cluster.doctor import gcp
from swath.engine.journal import Journal
from swath.spec.clusters.cloud import GcpCluster
from tests.clouds.control import Cloud
from tests.clouds.plugin import ec2_process, gce_process
from tests.clouds.projects import BUCKET, PREFIX, cluster, project
from tests.e2e.test_stores import listing
from tests.infra.policy import IAM, Policy, cover, permissions
from tests.models.tiny_models import write_integer_unet
from tests.process import Pipe

__all__ = ["ec2_process", "gce_process"]
pytestmark = pytest.mark.slow

PUT = """
import fsspec, os, sys
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as swath does; the simulated storage does not speak gRPC
kind, folder, *sources = sys.argv[1:]
for source in sources:
    fsspec.filesystem(kind).put_file(source, f"{folder}/{os.path.basename(source)}")
"""


ROLE = """
import botocore.session, json, os
iam = botocore.session.Session().create_client("iam", region_name="us-east-1")
iam.create_instance_profile(InstanceProfileName="swath-worker")
iam.create_role(RoleName="swath-worker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
iam.add_role_to_instance_profile(InstanceProfileName="swath-worker", RoleName="swath-worker")
"""
GIVEN_UP = """
import s3fs, sys
try:
    s3fs.S3FileSystem().pipe_file(sys.argv[1], bytes(11 << 20), chunksize=5 << 20)
except OSError:
    sys.exit(0)
sys.exit("the upload did not fail")
"""
"""What s3fs does with a large result, in smaller parts."""


@dataclass(frozen=True)
class Made:
    """A map that was made here and in a cloud, and what the cloud was asked meanwhile."""

    cloud: Cloud
    pipe: Pipe
    here: dict[str, str]
    """Name and SHA-256 of each file."""
    there: dict[str, str]
    workers: set[str]
    calls: list[dict[str, Any]]
    """Of all that is asked for by `pipe run` and `pipe doctor`."""
    empty: bool
    """Whether no machine was left."""


def map_of(cloud: Cloud, folder: Path, model: Path, naip: Path) -> Made:
    """Model, imagery and output are in the cloud's bucket."""
    store = "s3" if cloud.kind == "ec2" else "gs"
    own = {"profile": "swath-worker", "spot": True} if cloud.kind == "ec2" else {"public_ip": True}
    pipe = project(folder / "project", cloud, processes=2, **own)
    files = [naip, model, model.with_suffix(".json")]
    subprocess.run([sys.executable, "-c", PUT, store, f"{BUCKET}/{PREFIX}", *map(str, files)], env=pipe.env, check=True)
    if cloud.kind == "ec2":
        owner = {**pipe.env, "AWS_ACCESS_KEY_ID": "owner"}
        subprocess.run([sys.executable, "-c", ROLE], env=owner, check=True)
    fields: dict[str, Any] = {
        "imagery": {"source": "files", "paths": [f"{store}://{BUCKET}/{PREFIX}/{naip.name}"]},
        "model": f"{store}://{BUCKET}/{PREFIX}/{model.name}",
        "region": 256,
    }
    made = {"blocksize": 64, "probabilities": {"dtype": "float32"}}
    pipe("run", pipe.spec("here", output={"to": "out", **made}, cluster="inline", **fields), timeout=200)
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (pipe.folder / "out").iterdir()}
    cloud.reset()
    output = {"to": f"{store}://{BUCKET}/{PREFIX}/out", **made}
    spec = pipe.spec("there", output=output, cluster="cloud", **fields)
    pipe("doctor", spec)
    cloud.behaviour(nth=1, boot_delay_s=2)  # so that its console is looked at
    done = pipe("run", "--fresh", "--json", spec, timeout=300)
    empty = cloud.empty()
    if cloud.kind == "ec2":
        cloud.fault("UploadPart", "InvalidRequest", status=400, times=0)
        for who in ("client", "machine"):
            environment = {**pipe.env, "AWS_ACCESS_KEY_ID": who}
            command = [sys.executable, "-c", GIVEN_UP, f"{BUCKET}/{PREFIX}/results/large"]
            subprocess.run(command, env=environment, check=True, timeout=60)
    else:
        look_at_gpus(cloud)
    calls = cloud.calls()
    there = {Path(name).name: digest for name, digest in listing(pipe, store, f"{BUCKET}/{PREFIX}/out").items()}
    workers = {event["worker"] for event in done.events if event["event"] == "call_done"}
    return Made(cloud, pipe, here, there, workers, calls, empty)


def look_at_gpus(cloud: Cloud) -> None:
    """The doctor's checks of GPUs and of an image that is named by its family."""
    family = "projects/images/global/images/family/swath"
    gpus = {"machine": "n1-standard-4", "machine_image": family, "gpus": {"type": "nvidia-tesla-t4"}}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment.items():
            patch.setenv(name, value)
        found = list(gcp.check_project(GcpCluster.model_validate(cluster(cloud, **gpus))))
    assert {check.what: check.state for check in found}["gpus"] == "ok", found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_integer_unet(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=["ec2", "gce"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path, shared: Path) -> Made:
    """One run for all tests of a cloud."""
    cloud: Cloud = request.getfixturevalue(f"{request.param}_process")
    cloud.reset()
    return map_of(cloud, tmp_path_factory.mktemp(request.param), model, shared / "data/imagery/naip_nd_20120731.tif")


@pytest.mark.timeout(400)
def test_a_map_made_in_a_cloud_is_the_map_made_here_and_no_machine_is_left(made: Made) -> None:
    same = {name for name in made.here if not name.startswith("report")}
    assert {name: made.there.get(name) for name in same} == {name: made.here[name] for name in same}
    assert len(made.workers) > 1, made.workers
    assert made.empty
    with Journal.open(made.pipe.folder / ".swath") as journal:
        assert journal.leases() == []


@pytest.mark.timeout(400)
def test_run_and_doctor_need_all_of_the_rights_in_infra_iam_and_nothing_else(made: Made) -> None:
    if made.cloud.kind == "ec2":
        places = {"REGION": made.cloud.network["region"], "BUCKET": BUCKET, "PREFIX": PREFIX}
        found = {"client": Policy.read("aws-client", **places), "machine": Policy.read("aws-worker", **places)}
        refused = cover(made.calls, found, places["REGION"])
        print("\n".join(each.report() for each in found.values()))
        assert refused == []
        assert {name: policy.unused() for name, policy in found.items()} == {"client": [], "machine": []}
        return
    calls = [each for each in made.calls if each["service"] == "compute" and each["who"] == "client"]
    needed = set().union(*(permissions(each["action"], each["parameters"].get("body", {})) for each in calls))
    allowed = set(yaml.safe_load((IAM / "gcp-client.yaml").read_text())["includedPermissions"])
    print("\n".join(f"{'used' if each in needed else 'UNUSED':7} {each}" for each in sorted(allowed | needed)))
    assert needed == allowed
