"""Evaluate through the real `pipe` process: known scores of a known network, a map against labels, regions that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import yaml
from rio_cogeo.cogeo import cog_validate
from torch import Tensor, nn

from tests.imagery.rasters import write
from tests.models.cloud_contracts import cloud_contract
from tests.models.tiny_models import export, tiny_contract
from tests.process import Pipe

CLEAR_OR_CLOUD = {"0": "clear", "1": "clear", "2": "clear", "3": "clear", "4": "cloud"}


def run(pipe: Pipe, name: str, code: int = 0, **spec: Any) -> dict[str, Any]:
    """Run a spec, and give the scores."""
    path = pipe.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "evaluate", "output": f"out/{name}", "cluster": "inline", **spec}))
    pipe("run", path, code=code)
    found: dict[str, Any] = json.loads((pipe.folder / f"out/{name}/scores.json").read_text()) if code == 0 else {}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["sentinel2", "landsat7"])
def test_a_known_network_gets_the_scores_that_were_published_for_it(pipe: Pipe, shared: Path, scene: str) -> None:
    known = json.loads((shared / "data/expected/reference_scores.json").read_text())["clouds_rgbiswir"][scene]
    (pipe.folder / "clouds.json").write_text(json.dumps(cloud_contract("clouds_rgbiswir", "onnx")))
    labels = shared / "data/labels/clouds"
    found = run(
        pipe, scene,
        model={"path": str(shared / "data/models/clouds_rgbiswir.onnx"), "contract": "clouds.json"},
        data={
            "imagery": {
                "source": "files", "paths": [str(labels / f"{scene}_img.tif")], "scale": 0.0001, "offset": 0,
                "names": ["blue", "green", "red", "nir", "swir16", "swir22"],
            },
            "labels": {"source": "raster", "path": str(labels / f"{scene}_mask.tif"), "classes": CLEAR_OR_CLOUD},
        },
    )  # fmt: skip
    cloud = found["by_class"]["cloud"]
    assert cloud["iou"]["value"] == pytest.approx(known["cloud_iou"], abs=5e-5)
    assert cloud["f1"]["value"] == pytest.approx(known["cloud_f1"], abs=5e-5)
    assert found["overall"]["kappa"]["value"] == pytest.approx(known["kappa"], abs=5e-5)
    assert found["scored_pixels"] == 512 * 512
    low, high = cloud["iou"]["interval"]
    assert low < cloud["iou"]["value"] < high
    assert sum(each["pixels"] for each in found["calibration"]["bins"]) == 512 * 512


def a_map(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A map of 600 x 700 pixels and labels of a part of it on their own, coarser grid; both as arrays of the map's pixels."""
    random = np.random.default_rng(5)
    truth = np.kron(random.integers(0, 3, (30, 35)), np.ones((20, 20))).astype(np.uint8)
    said = truth.copy()
    wrong = random.random(truth.shape) < 0.1
    said[wrong] = (said[wrong] + 1) % 3
    said[:5] = 255
    labels = truth[::20, ::20].copy()
    labels[:, 20:] = 9
    write(folder / "map.tif", said[None], size=10, nodata=255)
    write(folder / "labels.tif", labels[None], size=200)
    known = np.kron(labels, np.ones((20, 20))).astype(np.uint8)
    return known, said


@pytest.mark.slow
def test_a_map_is_scored_on_its_own_pixels_each_once_whatever_the_regions(pipe: Pipe) -> None:
    labels, said = a_map(pipe.folder)
    spec = {
        "map": "map.tif",
        "classes": ["wood", "water", "town"],
        "labels": {"source": "raster", "path": "labels.tif", "classes": {0: "wood", 1: "water", 2: "town"}},
        "objects": {"classes": ["water"]},
    }
    one = run(pipe, "one", **spec)
    matrix = [[int(((labels == a) & (said == b)).sum()) for b in range(3)] for a in range(3)]
    assert one["confusion_matrix"]["pixels"] == matrix
    assert one["labelled_without_prediction"] == int(((labels < 9) & (said == 255)).sum())
    many = run(pipe, "many", region=512, **spec)
    assert {k: v for k, v in many.items() if k != "about"} == {k: v for k, v in one.items() if k != "about"}
    assert (pipe.folder / "out/one/map.tif").read_bytes() == (pipe.folder / "out/many/map.tif").read_bytes()
    assert cog_validate(pipe.folder / "out/one/map.tif", strict=True) == (True, [], [])
    with rasterio.open(pipe.folder / "out/one/map.tif") as file:
        errors = file.read(1)
    known = (labels < 9) & (said < 9)
    assert (errors[known] == labels[known] * 3 + said[known]).all()
    assert (errors[~known] == 255).all()
    assert one["objects"]["water"]["labelled"] > one["objects"]["water"]["matched"] > 0
    page = (pipe.folder / "out/one/scores.html").read_text()
    assert "Where most pixels are wrong" in page
    assert page.count("data:image/png;base64,") == 2 * 6
    report = json.loads((pipe.folder / "out/one/report.json").read_text())
    assert report["numbers"]["mean IoU"] == pytest.approx(one["overall"]["mean_iou"]["value"], abs=5e-5)


@pytest.mark.slow
def test_what_cannot_be_scored_is_told(pipe: Pipe) -> None:
    a_map(pipe.folder)
    labels = {"source": "raster", "path": "labels.tif", "classes": {0: "wood", 1: "water", 2: "town"}}
    path = pipe.folder / "bad.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "evaluate", "output": "out", "map": "map.tif"}))
    assert "a map needs labels" in pipe("run", path, code=2).err
    path.write_text(yaml.safe_dump({"pipeline": "evaluate", "output": "out", "map": "map.tif", "labels": labels}))
    assert "does not say what its values mean" in pipe("run", path, "--cluster", "inline", code=2).err
    far = {**labels, "classes": {7: "wood"}}
    spec = {
        "pipeline": "evaluate",
        "output": "out",
        "map": "map.tif",
        "labels": far,
        "classes": ["wood", "water", "town"],
    }
    path.write_text(yaml.safe_dump(spec))
    assert "no pixel has both a label and a prediction" in pipe("run", path, "--cluster", "inline", code=1).err
    assert not (pipe.folder / "out").exists()


@pytest.mark.slow
def test_objects_outside_of_the_area_are_not_missed(pipe: Pipe) -> None:
    """An area of an L shape, in whose missing corner lies a pond that is in the labels and in the map."""
    ponds = [(20, 20), (20, 160), (160, 20)]
    said = np.zeros((200, 200), np.uint8)
    for row, col in ponds:
        said[row : row + 10, col : col + 10] = 1
    write(pipe.folder / "map.tif", said[None], size=10)
    left, top = 500_000, 5_000_000
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[
            [left + 10 * x, top - 10 * y] for x, y in ((c, r), (c + 10, r), (c + 10, r + 10), (c, r + 10), (c, r))
        ]]}}
        for r, c in ponds
    ]  # fmt: skip
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (pipe.folder / "ponds.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    )
    corners = [(0, 0), (1000, 0), (1000, -1000), (2000, -1000), (2000, -2000), (0, -2000), (0, 0)]
    ring = ", ".join(f"{left + x} {top + y}" for x, y in corners)
    found = run(
        pipe, "ponds", map="map.tif", classes=["land", "water"], objects={"classes": ["water"]},
        labels={"source": "vector", "path": "ponds.geojson", "label": "water", "background": "land"},
        area={"wkt": f"POLYGON(({ring}))", "crs": "EPSG:32633"},
    )  # fmt: skip
    water = found["objects"]["water"]
    assert (water["labelled"], water["predicted"], water["matched"]) == (2, 2, 2)
    assert found["by_class"]["water"]["iou"]["interval"] == [1.0, 1.0]


class Bright(nn.Module):
    """Two classes: dark below 100, bright above."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([100 - images, images - 100], 1)


def test_a_model_is_scored_on_the_grid_that_the_spec_gives(pipe: Pipe) -> None:
    """Pixels of 10 m on a grid of 20 m: a quarter of them is scored, and the model's resolution is compared with that grid."""
    random = np.random.default_rng(3)
    truth = np.kron(random.integers(0, 2, (32, 32)), np.ones((4, 4))).astype(np.uint8)
    write(pipe.folder / "image.tif", (truth * 200)[None], size=10)
    write(pipe.folder / "labels.tif", truth[None], size=10)
    (pipe.folder / "bright.json").write_text(json.dumps(tiny_contract("bright", ["gray"], 2, resolution_m=20)))
    export(Bright(), 1, pipe.folder / "bright.pt2")
    labels = {"source": "raster", "path": "labels.tif", "classes": {0: "class-0", 1: "class-1"}}
    spec = {
        "model": "bright.pt2",
        "data": {"imagery": {"source": "files", "paths": ["image.tif"], "names": ["gray"]}, "labels": labels},
        "calibration": False,
    }
    own = run(pipe, "own", **spec)
    assert own["scored_pixels"] == 128 * 128
    assert any(
        "trained for pixels of 20 m (swath:resolution_m), and these have 10 m" in note for note in own["about"]["notes"]
    )
    coarse = run(pipe, "coarse", grid={"resolution": 20}, **spec)
    assert (coarse["scored_pixels"], coarse["overall"]["accuracy"]["value"]) == (64 * 64, 1)
    assert not any(
        "swath:resolution_m" in note for note in coarse["about"]["notes"] if coarse["about"]["notes"] != "none"
    )
    with rasterio.open(pipe.folder / "out/coarse/map.tif") as file:
        assert (file.res, file.shape) == ((20, 20), (64, 64))
    path = pipe.folder / "map.yaml"
    document = {
        "pipeline": "evaluate",
        "output": "out/x",
        "map": "image.tif",
        "labels": labels,
        "grid": {"resolution": 20},
    }
    path.write_text(yaml.safe_dump(document))
    assert "a map is scored on its own pixels; give a grid with a model only" in pipe("run", path, code=2).err


def test_a_threshold_on_logits_is_scored_without_calibration(pipe: Pipe) -> None:
    """It failed: a logit is no probability, and `evaluate` has no field that says so."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Conv", ["image", "weight", "bias"], ["logit"], kernel_shape=[1, 1])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in ("image", "logit")]
    weights = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), 0.01, np.float32), "weight"),
        numpy_helper.from_array(np.array([-5], np.float32), "bias"),
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), pipe.folder / "m.onnx"
    )
    contract = tiny_contract("m", ["gray"], 2) | {"swath:threshold": 0.0}
    contract["mlm:output"][0]["result"]["shape"][1] = 1
    (pipe.folder / "m.json").write_text(json.dumps(contract))
    pixels = np.random.default_rng(1).integers(0, 1000, (1, 64, 64)).astype(np.uint16)
    write(pipe.folder / "image.tif", pixels)
    write(pipe.folder / "labels.tif", (pixels > 250).astype(np.uint8))
    data = {
        "imagery": {"source": "files", "paths": ["image.tif"]},
        "labels": {"source": "raster", "path": "labels.tif"},
    }
    found = run(pipe, "logits", model="m.onnx", data=data)
    truth, mapped = pixels > 250, pixels >= 500
    assert found["confusion_matrix"]["pixels"] == [
        [int(((truth == row) & (mapped == column)).sum()) for column in (0, 1)] for row in (0, 1)
    ]
    assert found.get("calibration") is None
    assert "m gives numbers that are no probabilities: no calibration" in pipe("logs", "last").out
