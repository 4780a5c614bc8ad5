"""A project whose named cluster `cloud` is a simulated one, with its results in that cloud's storage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clouds.control import Cloud
from tests.process import Pipe

BUCKET = "swath-tests"
PREFIX = "runs"
"""All of the bucket that the policies of infra/iam allow."""
QUICK = {"SWATH_CLOUD_QUIET_S": "1", "SWATH_CLOUD_PACE_S": "0.5", "SWATH_CLOUD_WITHIN_S": "90"}
"""A simulated cloud lists a machine at once, and boots it in seconds."""
_BUCKET = """
import fsspec, os, sys
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as swath does; the simulated storage does not speak gRPC
files = fsspec.filesystem(sys.argv[1])
if not files.exists(sys.argv[2]):
    files.mkdir(sys.argv[2])
"""


def cluster(cloud: Cloud, **fields: Any) -> dict[str, Any]:
    """The spec of a cluster there: one machine with one worker process."""
    there = cloud.network
    common = {"image": "swath:test", "public_ip": False, "processes": 1, "workers": 1, "start_timeout_s": 90}
    if cloud.kind == "ec2":
        place: dict[str, Any] = {
            "kind": "aws", "region": there["region"], "subnet": there["subnet"], "security_groups": [there["security_group"]],
        }  # fmt: skip
    else:
        place = {"kind": "gcp", "project": there["project"], "zone": there["zone"], "network": there["network"]}
    return common | place | {"machine_image": there["image"]} | fields


def project(folder: Path, cloud: Cloud, **fields: Any) -> Pipe:
    """Write its swath.yaml, and make the bucket. `fields` are the cluster's."""
    folder.mkdir(parents=True, exist_ok=True)
    scheme = "s3" if cloud.kind == "ec2" else "gs"
    settings = {
        "clusters": {"cloud": cluster(cloud, **fields)},
        "results": f"{scheme}://{BUCKET}/{PREFIX}/{folder.name}",
    }
    (folder / "swath.yaml").write_text(json.dumps(settings))
    pipe = Pipe(folder)
    pipe.env |= cloud.environment | QUICK
    there = cloud.root.parent / f"{cloud.root.name}.bucket"  # beside the root: buckets stay when the cloud is reset
    if not there.exists():
        subprocess.run([sys.executable, "-c", _BUCKET, scheme, BUCKET], env=pipe.env, check=True, timeout=60)
        there.touch()
    return pipe
