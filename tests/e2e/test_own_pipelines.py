"""The examples of docs/own-pipelines.md run as they are written, and give what is computed from the files without swath."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import yaml
from rasterio.mask import mask

from tests.imagery.rasters import write
from tests.process import ROOT, Pipe

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "docs/examples"
(SCRIPT,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own-pipelines.md").read_text(), re.DOTALL)


@pytest.fixture
def project(pipe: Pipe) -> Pipe:
    """The project of the examples, trusted."""
    shutil.copytree(EXAMPLES, pipe.folder, dirs_exist_ok=True)
    (pipe.folder / "data").mkdir()
    pipe.env["SWATH_TRUST"] = "1"
    return pipe


def spec_of(project: Pipe, name: str, **changed: Any) -> Path:
    document = yaml.safe_load((project.folder / f"specs/{name}.yaml").read_text()) | {"cluster": "inline"}
    path = project.folder / "specs/test.yaml"
    path.write_text(yaml.safe_dump(document | changed))
    return path


def test_ndvi_of_parcels_is_that_of_their_pixels(project: Pipe, shared: Path) -> None:
    dates = ("20150711", "20150820", "20150909")
    for date in dates:
        shutil.copy(shared / f"data/labels/slovenia/s2_l1c_{date}.tif", project.folder / f"data/s2_{date}.tif")
    shutil.copy(shared / "data/labels/slovenia/lulc_parcels.gpkg", project.folder / "data/parcels.gpkg")
    output = {"to": "out/parcel-ndvi", "blocksize": 64}
    parcels = geopandas.read_file(project.folder / "data/parcels.gpkg").reset_index(names="number")
    parcels.to_file(project.folder / "data/numbered.gpkg")
    spec = spec_of(
        project, "parcel-ndvi", output=output, key="number", parcels="data/numbered.gpkg"
    )  # fmt: skip
    project("run", spec)
    with rasterio.open(project.folder / "out/parcel-ndvi/map.tif") as file:
        ndvi, names = file.read(), file.descriptions
    assert names == tuple(f"s2_{date}" for date in dates)
    rows = list(csv.DictReader((project.folder / "out/parcel-ndvi/parcels.csv").read_text().splitlines()))
    found = {(row["parcel"], row["scene"]): row for row in rows}
    compared = 0
    for number, date in enumerate(dates):
        with rasterio.open(project.folder / f"data/s2_{date}.tif") as file:
            red, nir = (file.read(file.descriptions.index(band) + 1).astype(float) for band in ("B04", "B08"))
            expected = (nir - red) / (nir + red)
            np.testing.assert_allclose(ndvi[number], expected, atol=2e-6)
            for key, polygon in zip(parcels["number"], parcels.geometry, strict=True):
                try:
                    inside, _ = mask(file, [polygon], filled=False, indexes=1)
                except ValueError:  # it lies beside the scene
                    continue
                values = expected[~inside.mask]
                row = found.get((str(key), f"s2_{date}"))
                assert (row is None) == (values.size == 0)
                if row is not None:
                    assert int(row["pixels"]) == values.size
                    assert float(row["mean"]) == pytest.approx(values.mean(), abs=2e-6)
                    assert float(row["min"]) == pytest.approx(values.min(), abs=2e-6)
                    assert float(row["max"]) == pytest.approx(values.max(), abs=2e-6)
                    compared += 1
    assert compared > 100
    report = json.loads((project.folder / "out/parcel-ndvi/report.json").read_text())
    assert report["numbers"]["parcels"] == len({row["parcel"] for row in rows})


def test_the_greenest_clear_pixel_is_chosen(project: Pipe) -> None:
    random = np.random.default_rng(3)
    scenes = random.integers(1, 4000, (3, 5, 150, 140)).astype(np.uint16)
    scenes[:, 4] = random.choice([4, 5, 9], (3, 150, 140))  # vegetation, bare, cloud
    scenes[:, :, :6, :6] = 0
    for number, pixels in enumerate(scenes):
        names = ("blue", "green", "red", "nir", "SCL")
        write(project.folder / f"data/{number}.tif", pixels, names=names, nodata=0)
    imagery = {"source": "files", "paths": ["data/*.tif"], "mask": {"band": "SCL", "kind": "scl", "reject": ["cloud"]}}
    output = {"to": "out/greenest", "vectors": False, "blocksize": 64}
    project("run", spec_of(project, "greenest", imagery=imagery, output=output))
    with rasterio.open(project.folder / "out/greenest/map.tif") as file:
        made = file.read()
        assert file.descriptions == ("blue", "green", "red", "nir", "clear")
    red, nir = scenes[:, 2].astype(float), scenes[:, 3].astype(float)
    clear = (scenes[:, 4] != 9) & (scenes[:, 4] != 0)
    ndvi = np.where(clear, (nir - red) / np.maximum(nir + red, 1), -np.inf)
    best = ndvi.argmax(axis=0)
    expected = np.take_along_axis(scenes[:, :4], best[None, None], axis=0)[0]
    expected[:, ~clear.any(axis=0)] = 0
    assert 0 < (~clear.any(axis=0)).sum() < 5000
    assert np.array_equal(made[4], clear.sum(axis=0))
    assert (made[:4] == expected).all(axis=0).mean() > 0.9999  # two scenes may have the same NDVI in float32
    assert len(np.unique(best)) == 3


def test_the_script_runs(pipe: Pipe, scene: Path) -> None:
    (pipe.folder / "data").mkdir()
    shutil.copy(scene, pipe.folder / "data/landsat.tif")
    (pipe.folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=pipe.folder, env=pipe.env, capture_output=True, text=True, timeout=110, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert any(line.endswith("map.tif") for line in done.stdout.splitlines())
    with rasterio.open(pipe.folder / "out/ndwi/map.tif") as file:
        found = file.read(1)
    with rasterio.open(scene) as file:
        green, nir = file.read(2).astype("f4"), file.read(4).astype("f4")
    known = np.isfinite(found)
    assert known.mean() > 0.3
    np.testing.assert_allclose(found[known], ((green - nir) / (green + nir).clip(1))[known], atol=1e-6)


def test_a_rule_on_bands_is_a_model(project: Pipe, scene: Path) -> None:
    shutil.copy(scene, project.folder / "data/landsat.tif")
    output = {"to": "out/water-rule", "vectors": False, "blocksize": 128}
    project("run", spec_of(project, "water-rule", output=output, region=256))
    model = {"predictor": "band_rules:texture", "radius": 2, "contract": "models/texture.json"}
    project("run", spec_of(project, "water-rule", model=model, region=256, output=output | {"to": "out/texture"}))
    with rasterio.open(scene) as file:
        green, red, nir = (file.read(band).astype("f4") for band in (2, 3, 4))
        known = file.dataset_mask() > 0
    with rasterio.open(project.folder / "out/water-rule/map.tif") as file:
        assert np.array_equal(file.read(1)[known], ((green - nir) / np.maximum(green + nir, 1) > 0.05)[known])
        assert (file.read(1)[~known] == 255).all()
    red, nir = np.where(known, red, 0), np.where(known, nir, 0)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(ndvi, 2, mode="edge"), (5, 5)).std(axis=(2, 3))
    with rasterio.open(project.folder / "out/texture/map.tif") as file:
        np.testing.assert_array_equal(file.read()[:, known], np.stack([ndvi, around])[:, known])
        assert file.descriptions == ("ndvi", "texture")
    for name, radius in (("water-rule", 0), ("texture", 2)):
        seams = json.loads((project.folder / "out" / name / "report.json").read_text())["seams"]
        assert (seams["exact"], seams["radius"], seams["differing"], seams["runtime"]) == (True, radius, 0, "python")
        assert seams["pixels"] > 10000
