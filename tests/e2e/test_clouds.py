"""Whole runs on simulated clouds, imagery and output in their buckets: the very files of a local run, and no machine left."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.engine.journal import Journal
from tests.clouds.control import Cloud
from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process
from tests.clouds.projects import BUCKET, project
from tests.e2e.test_stores import listing
from tests.imagery.rasters import write
from tests.models.tiny_models import write_integer_unet

__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]
pytestmark = pytest.mark.slow

PUT = """
import fsspec, os, sys
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as swath does; the simulated storage does not speak gRPC
kind, bucket, *sources = sys.argv[1:]
for source in sources:
    fsspec.filesystem(kind).put_file(source, f"{bucket}/{os.path.basename(source)}")
"""


@pytest.mark.parametrize(("fixture", "store"), [("ec2_cloud", "s3"), ("gce_cloud", "gs")])
def test_a_map_made_in_a_cloud_is_the_map_made_here_and_no_machine_is_left(
    fixture: str, store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cloud: Cloud = request.getfixturevalue(fixture)
    pipe = project(tmp_path / "project", cloud, processes=2)
    pixels = np.kron(np.random.default_rng(7).integers(1, 250, (3, 40, 50)), np.ones((1, 16, 16))).astype(np.uint8)
    write(tmp_path / "picture.tif", pixels, names=("red", "green", "blue"), nodata=0)
    model = write_integer_unet(tmp_path)
    files = [tmp_path / "picture.tif", model, model.with_suffix(".json")]
    subprocess.run([sys.executable, "-c", PUT, store, BUCKET, *map(str, files)], env=pipe.env, check=True)
    fields: dict[str, Any] = {
        "imagery": {"source": "files", "paths": [f"{store}://{BUCKET}/picture.tif"]},
        "model": f"{store}://{BUCKET}/{model.name}",
        "region": 256,
    }
    made = {"blocksize": 64, "probabilities": {"dtype": "float32"}}
    pipe("run", pipe.spec("here", output={"to": "out", **made}, **fields), timeout=200)
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (pipe.folder / "out").iterdir()}
    to = f"{store}://{BUCKET}/out"
    done = pipe(
        "run",
        "--fresh",
        "--json",
        pipe.spec("there", output={"to": to, **made}, cluster="cloud", **fields),
        timeout=300,
    )
    there = {Path(name).name: digest for name, digest in listing(pipe, store, f"{BUCKET}/out").items()}
    same = {name for name in here if not name.startswith("report")}
    assert {name: there.get(name) for name in same} == {name: here[name] for name in same}
    workers = {event["worker"] for event in done.events if event["event"] == "call_done"}
    assert len(workers) > 1, workers
    assert cloud.empty()
    with Journal.open(pipe.folder / ".swath") as journal:
        assert journal.leases() == []
