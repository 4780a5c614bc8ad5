"""A run whose inputs are staged in a simulated bucket: workers in another folder make the very map of a local run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import ExternalCluster, external_cluster
from tests.imagery.servers import simulated_s3
from tests.process import ROOT, Pipe

__all__ = ["external_cluster"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that holds pixels or polygons."""
    kinds = (".tif", ".parquet", ".png")
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir() if each.suffix in kinds
    }


def test_staged_inputs_give_the_map_of_a_local_run_and_are_copied_once(
    pipe: Pipe, external_cluster: Callable[..., ExternalCluster], shared: Path, tmp_path: Path
) -> None:
    for file in (shared / "data/imagery/naip_nd_20120731.tif", ROOT / "models/water.pt2", ROOT / "models/water.json"):
        shutil.copy(file, pipe.folder)
    fields = {
        "imagery": {"source": "files", "paths": ["naip*.tif"]},
        "model": "water.pt2",
        "region": 512,
    }
    pipe("run", pipe.spec("here", output="here/map", **fields), timeout=300)
    served = tmp_path / "served"
    served.mkdir()
    (served / "here").write_text("a bucket is there when something is in it")
    with simulated_s3(served) as store:
        pipe.env |= store
        (pipe.folder / "swath.yaml").write_text("results: s3://pixels/results\n")
        cluster = external_cluster()
        # A temp folder of its own: what the client fetched is not at hand there.
        (tmp_path / "elsewhere").mkdir()
        cluster.worker("--name", "far", env={**store, "TMPDIR": str(tmp_path / "elsewhere")})
        spec = pipe.spec("there", output="there/map", cluster=cluster.address, stage="s3://pixels/stage", **fields)
        first = pipe("run", spec, timeout=300)
        assert hashes(pipe.folder / "there/map") == hashes(pipe.folder / "here/map")
        assert list((tmp_path / "elsewhere").glob("swath-models-*/*/water.pt2")), "the worker fetched the weights"
        notes = json.loads((pipe.folder / "there/map/report.json").read_text())["notes"]
        staged = [note for note in notes if " staged as s3://pixels/stage/" in note]
        assert len(staged) == 2, notes
        again = pipe("run", spec, timeout=300)
        assert "was staged before" in again.err
        assert " staged as" not in again.err
        assert "reused" in again.err, first.err
