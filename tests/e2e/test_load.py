"""Load through the real `pipe` process: what is loaded once gives the maps that the original gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from tests.models.tiny_models import write_integer_unet
from tests.process import ROOT, Pipe


@pytest.mark.slow
def test_a_map_from_the_loaded_imagery_is_that_from_the_original(pipe: Pipe, shared: Path) -> None:
    original = {
        "source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"],
    }  # fmt: skip
    model, area = str(write_integer_unet(pipe.folder)), [-78.4, 24.0, -77.6, 24.8]
    for name, where in {"whole": {}, "part": {"area": area}}.items():
        document = {"pipeline": "load", "output": name, "cluster": "inline", "imagery": original, **where}
        (pipe.folder / "load.yaml").write_text(yaml.safe_dump(document))
        pipe("run", "load.yaml")
    kept = {
        name: {"source": "stac", "catalog": str(pipe.folder / name / "collection.json")} for name in ("whole", "part")
    }
    for name, imagery in {"original": original, **kept}.items():
        output = {"to": f"out/{name}", "vectors": False, "preview": False, "blocksize": 128}
        pipe("run", pipe.spec(name, imagery=imagery, model=model, area=area, output=output))
    maps = {name: pipe.folder / f"out/{name}/map.tif" for name in ("original", *kept)}
    assert maps["original"].read_bytes() == maps["whole"].read_bytes()
    with rasterio.open(maps["original"]) as one, rasterio.open(maps["part"]) as other:
        assert np.array_equal(one.read(), other.read())
        assert one.transform.almost_equals(other.transform, 1e-6)
        assert 0 < (one.read_masks(1) > 0).sum() < one.width * one.height
    with rasterio.open(pipe.folder / "part/bahamas_rgb-red.tif") as file:
        assert file.width < 791


@pytest.mark.slow
def test_the_shipped_spec_loads_the_demo_scene(pipe: Pipe, scene: Path) -> None:
    (pipe.folder / "data").mkdir()
    (pipe.folder / "data/landsat.tif").write_bytes(scene.read_bytes())
    (pipe.folder / "load.yaml").write_text((ROOT / "specs/load.yaml").read_text())
    plan = json.loads(pipe("plan", "load.yaml", "--json").out)
    assert (plan["images"], plan["to load"]) == (1, 1)
    assert "load_window" in pipe("show", "load.yaml").out
    done = pipe("run", "load.yaml", "--cluster", "inline")
    assert str(pipe.folder / "out/landsat/collection.json") in done.out.splitlines()
    assert len(list((pipe.folder / "out/landsat").glob("*.tif"))) == 7
    assert json.loads(pipe("plan", "load.yaml", "--json").out)["to load"] == 0
