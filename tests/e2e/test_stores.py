"""Maps in object stores: the very files of a local run, sent in parts, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from tests.imagery.rasters import write
from tests.imagery.servers import simulated_gs, simulated_s3
from tests.models.tiny_models import write_integer_unet
from tests.process import Pipe

pytestmark = pytest.mark.slow

LISTING = """
import fsspec, hashlib, json, os, sys
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as swath does
files = fsspec.filesystem(sys.argv[1])
found = {name: hashlib.sha256(files.cat(name)).hexdigest() for name in files.find(sys.argv[2])}
print(json.dumps(found))
"""


@contextlib.contextmanager
def store(kind: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    empty = tmp_path / "served"
    empty.mkdir()
    (empty / "here").write_text("a bucket is there when something is in it")
    if kind == "s3":
        with simulated_s3(empty) as environment:
            yield environment
    else:
        with simulated_gs(empty, tmp_path / "gs") as environment:
            yield environment


def listing(pipe: Pipe, kind: str, place: str) -> dict[str, str]:
    """SHA-256 of every object under a place, such as pixels/out."""
    done = subprocess.run(
        [sys.executable, "-c", LISTING, kind, place], env=pipe.env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


HOLD = """
import sys
from swath.storage.bucket_lock import bucket_locked
with bucket_locked(sys.argv[1], "20260301-120000-other-1a2b"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_run_into_the_output_of_a_run_that_goes_on_is_exit_6_and_writes_nothing(
    pipe: Pipe, tmp_path: Path, kind: str
) -> None:
    write(pipe.folder / "picture.tif", np.ones((3, 256, 256), np.uint8), names=("red", "green", "blue"), nodata=0)
    model = str(write_integer_unet(pipe.folder))
    imagery = {"source": "files", "paths": ["picture.tif"]}
    spec = pipe.spec(
        "remote",
        imagery=imagery,
        model=model,
        region=256,
        cluster="inline",
        output={"to": f"{kind}://pixels/out", "blocksize": 64},
    )
    with store(kind, tmp_path) as environment:
        pipe.env.update(environment)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, f"{kind}://pixels/out"], env=pipe.env, stdin=PIPE, stdout=PIPE
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            done = pipe("run", spec, code=6)
            assert (
                f"another run writes to {kind}://pixels/out: 20260301-120000-other-1a2b (process {other.pid}"
                in done.err
            )
            assert listing(pipe, kind, "pixels/out") == {}
            other.communicate()
        pipe("run", spec)
        assert "pixels/out/map.tif" in listing(pipe, kind, "pixels/out")


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_map_in_a_store_is_the_map_on_a_disk(pipe: Pipe, tmp_path: Path, kind: str) -> None:
    pixels = np.kron(np.random.default_rng(7).integers(1, 250, (3, 40, 50)), np.ones((1, 16, 16))).astype(np.uint8)
    write(pipe.folder / "picture.tif", pixels, names=("red", "green", "blue"), nodata=0)
    imagery = {"source": "files", "paths": ["picture.tif"]}
    model = str(write_integer_unet(pipe.folder))
    more = {"blocksize": 64, "probabilities": {"dtype": "float32"}}
    pipe("run", pipe.spec("local", imagery=imagery, model=model, region=256, output={"to": "out", **more}))
    local = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (pipe.folder / "out").iterdir()
        if path.name not in ("report.json", "report.html")
    }
    with store(kind, tmp_path) as environment:
        pipe.env.update(environment)
        remote = pipe.spec(
            "remote", imagery=imagery, model=model, region=256, output={"to": f"{kind}://pixels/out", **more}
        )
        done = pipe("run", remote)
        assert f"{kind}://pixels/out/map.tif" in done.out.splitlines()
        assert "pixels/.out.lock" not in listing(pipe, kind, "pixels")
        found = {name.removeprefix("pixels/out/"): digest for name, digest in listing(pipe, kind, "pixels/out").items()}
    assert {name: digest for name, digest in found.items() if not name.startswith("report")} == local
