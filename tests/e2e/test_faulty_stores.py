"""Maps and loads by the real `pipe` process in simulated stores that fail half of the puts and lose and cut answers: the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.test_stores import listing
from tests.imagery.rasters import write
from tests.models.tiny_models import write_integer_unet
from tests.process import Pipe
from tests.storage.store_proxy import StoreFaults, faulty_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HALF_OF_THE_PUTS = StoreFaults(fail=0.5, methods=frozenset({"PUT", "POST"}))
ALL = StoreFaults(fail=0.08, lose=0.08, cut=0.08, html=0.05, delay=0.05)


def hashes(folder: Path) -> dict[str, str]:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    return {name: digest for name, digest in found.items() if not name.startswith("report")}


@pytest.fixture
def picture(pipe: Pipe) -> Path:
    pixels = np.kron(np.random.default_rng(7).integers(1, 250, (3, 20, 24)), np.ones((1, 16, 16))).astype(np.uint8)
    write(pipe.folder / "picture.tif", pixels, names=("red", "green", "blue"), nodata=0)
    return pipe.folder / "picture.tif"


@pytest.mark.parametrize("kind", ["s3", "gs"])
@pytest.mark.parametrize("faults", [HALF_OF_THE_PUTS, ALL], ids=["half-of-the-puts", "all"])
def test_a_map_whose_results_and_output_are_in_a_faulty_store_is_that_of_a_disk(
    pipe: Pipe, picture: Path, tmp_path: Path, kind: str, faults: StoreFaults
) -> None:
    imagery = {"source": "files", "paths": [picture.name]}
    fields = {"imagery": imagery, "model": str(write_integer_unet(pipe.folder)), "region": 256}
    pipe("run", pipe.spec("local", output={"to": "out", "blocksize": 64}, **fields))
    with faulty_store(kind, tmp_path, seed=11) as (proxy, environment):
        pipe.env |= {**environment, "AWS_MAX_ATTEMPTS": "2"}
        (pipe.folder / "swath.yaml").write_text(f"results: {kind}://pixels/results\n")
        proxy.faults = faults
        spec = pipe.spec("remote", output={"to": f"{kind}://pixels/out", "blocksize": 64}, **fields)
        done = pipe("run", "--fresh", spec, code=None, timeout=300)
        # One request in four fails: four in a row happen, and end a run.
        while done.code == 1 and "(4 tries)" in done.err:
            done = pipe("resume", "last", code=None, timeout=300)
        assert done.code == 0, done.err
        assert proxy.happened["fail"]
        proxy.faults = StoreFaults()
        found = {name.removeprefix("pixels/out/"): digest for name, digest in listing(pipe, kind, "pixels/out").items()}
        assert {name: digest for name, digest in found.items() if not name.startswith("report")} == hashes(
            pipe.folder / "out"
        )
        assert [name for name in listing(pipe, kind, "pixels") if ".lock" in name or "partial" in name] == []


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_load_into_a_faulty_store_is_that_on_a_disk_and_is_kept(
    pipe: Pipe, picture: Path, tmp_path: Path, kind: str
) -> None:
    imagery = {"source": "files", "paths": [picture.name]}

    def load(name: str, to: str) -> Path:
        return pipe.spec(name, pipeline="load", imagery=imagery, output=to)

    pipe("run", load("local", "out"))
    local = hashes(pipe.folder / "out")
    with faulty_store(kind, tmp_path, seed=12) as (proxy, environment):
        pipe.env |= {**environment, "AWS_MAX_ATTEMPTS": "2"}
        proxy.faults = ALL
        spec = load("remote", f"{kind}://pixels/out")
        pipe("run", spec, timeout=300)
        assert proxy.happened
        plan = json.loads(pipe("plan", spec, "--json", timeout=300).out)
        assert (plan["images"], plan["to load"]) == (1, 0)
        proxy.faults = StoreFaults()
        found = {name.removeprefix("pixels/out/"): digest for name, digest in listing(pipe, kind, "pixels/out").items()}
    rasters = {name: digest for name, digest in local.items() if name.endswith(".tif")}
    assert rasters
    assert {name: digest for name, digest in found.items() if name.endswith(".tif")} == rasters
    assert set(found) - {"report.json", "report.html"} == set(local)


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_an_expired_token_ends_the_run_with_4(pipe: Pipe, picture: Path, tmp_path: Path, kind: str) -> None:
    fields = {"imagery": {"source": "files", "paths": [picture.name]}, "model": str(write_integer_unet(pipe.folder))}
    spec = pipe.spec("remote", output={"to": f"{kind}://pixels/out", "blocksize": 64}, region=256, **fields)
    with faulty_store(kind, tmp_path) as (proxy, environment):
        pipe.env |= {**environment, "AWS_MAX_ATTEMPTS": "2"}
        proxy.faults = StoreFaults(expired=True, within="map.tif")
        done = pipe("run", spec, code=4, timeout=300)
        assert "renew the credentials" in done.err
        proxy.faults = StoreFaults()
        pipe("run", spec, timeout=300)
        assert "pixels/out/map.tif" in listing(pipe, kind, "pixels/out")
