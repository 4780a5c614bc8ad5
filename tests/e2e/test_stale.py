"""No finished call is reused although what it read has changed: each input of each pipeline, changed between two runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
import torch
import yaml
from safetensors.torch import save_file

import swath
from swath.events import CallDone, Event
from tests.imagery.rasters import write
from tests.models.tiny_models import tiny_contract

NETS = """
import torch
from layers import compare


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(99.5))

    def forward(self, x):
        return compare(x, self.level)


def make():
    return Net()


def learn(bands, classes):
    return torch.nn.Sequential(torch.nn.Conv2d(bands, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, classes, 1))
"""
LAYERS = """
import torch


def compare(x, level):
    return torch.cat([level - x, x - level], 1)
"""
WHEN = 1_577_836_800 * 10**9
FILES = {"source": "files", "paths": ["scene.tif"]}
MODEL = {"path": "bright.safetensors", "factory": "nets:make"}
RASTER = {"source": "raster", "path": "labels.tif"}
VECTOR = {"source": "vector", "path": "labels.shp", "field": "kind"}
CLASSES = ["class-0", "class-1"]


def raster(path: Path, shift: int) -> None:
    """128 x 128 pixels with time and size kept; `shift` moves the border of 0 and 200 to the east."""
    pixels = np.zeros((1, 128, 128), np.uint8)
    pixels[:, :, 64 + shift :] = 1 if path.name == "labels.tif" else 200
    path.unlink(missing_ok=True)
    write(path, pixels, names=("gray",))
    os.utime(path, ns=(WHEN, WHEN))


def vector(path: Path, kinds: tuple[str, str]) -> None:
    boxes = [shapely.box(500_000, 4_998_720, 500_640, 5_000_000), shapely.box(500_640, 4_998_720, 501_280, 5_000_000)]
    fields = [np.array(kinds, object)]
    pyogrio.raw.write(path, shapely.to_wkb(boxes), fields, ["kind"], geometry_type="Polygon", crs="EPSG:32633")


def area(path: Path, width: int) -> None:
    box = shapely.box(500_000, 4_999_000, 500_000 + width, 5_000_000)
    path.unlink(missing_ok=True)
    pyogrio.raw.write(path, shapely.to_wkb([box]), [], [], geometry_type="Polygon", crs="EPSG:32633")


def weights(path: Path, level: float) -> None:
    save_file({"level": torch.tensor(level)}, path)


def item(path: Path, name: str) -> None:
    """A STAC item with an asset on this machine."""
    path.write_text(json.dumps({
        "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": [15, 45.13, 15.02, 45.16], "links": [],
        "geometry": shapely.geometry.mapping(shapely.box(15, 45.13, 15.02, 45.16)),
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {"gray": {"href": str(path.with_name("scene.tif"))}},
    }))  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SWATH_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swath.yaml").write_text("")
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "layers.py").write_text(LAYERS)
    for name in ("scene.tif", "labels.tif", "before.tif", "after.tif"):
        raster(tmp_path / name, 0)
    vector(tmp_path / "labels.shp", ("class-0", "class-1"))
    area(tmp_path / "area.gpkg", 1000)
    weights(tmp_path / "bright.safetensors", 99.5)
    (tmp_path / "bright.json").write_text(json.dumps(tiny_contract("bright", ["gray"], 2)))
    item(tmp_path / "item.json", "one")
    return tmp_path


def job(folder: Path, **spec: Any) -> swath.Job:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"cluster": "inline", "output": "out/result", **spec}))
    return swath.load(path)


def executed(folder: Path, **spec: Any) -> set[str]:
    """The nodes of which a run executed calls."""
    nodes: set[str] = set()

    def listen(event: Event) -> None:
        if isinstance(event, CallDone) and not event.reused:
            nodes.add(event.node)

    outcome = swath.run(job(folder, **spec), listeners=[listen])
    assert outcome.status == "done", outcome.error
    return nodes


def changed_scene(folder: Path) -> None:
    raster(folder / "scene.tif", 7)


def changed_sidecar(folder: Path) -> None:
    (folder / "scene.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")


def changed_labels(folder: Path) -> None:
    raster(folder / "labels.tif", 5)


def changed_attributes(folder: Path) -> None:
    """Only the table beside the shapes."""
    (folder / "other").mkdir()
    vector(folder / "other/labels.shp", ("class-1", "class-0"))
    shutil.copy(folder / "other/labels.dbf", folder / "labels.dbf")


def changed_area(folder: Path) -> None:
    area(folder / "area.gpkg", 700)


def changed_weights(folder: Path) -> None:
    weights(folder / "bright.safetensors", 250.0)


def changed_contract(folder: Path) -> None:
    contract = json.loads((folder / "bright.json").read_text())
    contract["mlm:output"][0]["classification:classes"][0]["value"] = 7
    (folder / "bright.json").write_text(json.dumps(contract))


def changed_factory(folder: Path) -> None:
    (folder / "nets.py").write_text(NETS.replace("compare(x, self.level)", "compare(-x, -self.level)"))


def changed_module_of_the_factory(folder: Path) -> None:
    (folder / "layers.py").write_text(LAYERS.replace("[level - x, x - level]", "[x - level, level - x]"))


def changed_item(folder: Path) -> None:
    item(folder / "item.json", "two")


def changed_before(folder: Path) -> None:
    raster(folder / "before.tif", 3)


def changed_after(folder: Path) -> None:
    raster(folder / "after.tif", 4)


STAC = {"source": "stac", "catalog": "item.json", "bands": ["gray"]}
PREDICT = {"pipeline": "predict", "imagery": FILES, "model": MODEL, "area": "area.gpkg"}
EVALUATE = {"pipeline": "evaluate", "model": MODEL, "data": {"imagery": FILES, "labels": VECTOR}, "draws": 100}
CASES: list[tuple[str, dict[str, Any], str, list[Callable[[Path], None]]]] = [
    ("predict", PREDICT, "predict_region", [
        changed_scene, changed_sidecar, changed_area, changed_weights, changed_contract, changed_factory, changed_module_of_the_factory,
    ]),
    ("predict-stac", PREDICT | {"imagery": STAC}, "predict_region", [changed_scene, changed_item]),
    ("load", {"pipeline": "load", "imagery": STAC, "area": "area.gpkg", "margin": 0},
     "load_window", [changed_scene, changed_area, changed_item]),
    ("evaluate-model", EVALUATE, "score_region", [
        changed_scene, changed_attributes, changed_weights, changed_contract, changed_factory,
    ]),
    ("evaluate-map", {"pipeline": "evaluate", "map": "before.tif", "labels": RASTER, "classes": CLASSES, "draws": 100},
     "score_map_region", [changed_before, changed_labels]),
    ("change-maps", {"pipeline": "change", "before": "before.tif", "after": "after.tif", "classes": CLASSES},
     "compare_states", [changed_before, changed_after]),
    ("change-model", {"pipeline": "change", "before": {"imagery": FILES}, "model": MODEL,
                      "after": {"imagery": {"source": "files", "paths": ["after.tif"]}}},
     "predict/predict_region", [changed_scene, changed_weights, changed_factory]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "node", "changes"), [pytest.param(*case, id=name) for name, *case in CASES])
def test_a_changed_input_is_read_again_and_an_untouched_one_is_not(
    project: Path, spec: dict[str, Any], node: str, changes: list[Callable[[Path], None]]
) -> None:
    assert node in executed(project, **spec)
    always = executed(project, **spec)
    assert node not in always
    for change in changes:
        change(project)
        assert node in executed(project, **spec), change.__name__
        assert executed(project, **spec) == always


def test_local_images_are_found_again_only_when_one_of_their_files_differs_or_another_matches(project: Path) -> None:
    pattern = PREDICT | {"imagery": {"source": "files", "paths": ["sc*.tif"]}}
    assert "find_imagery" in executed(project, **pattern)
    assert executed(project, **pattern) == {"read_contract", "read_weights", "describe_model"}
    raster(project / "scene-2.tif", 9)
    assert {"find_imagery", "predict_region"} <= executed(project, **pattern)
    (project / "scene-2.tif").unlink()
    assert "find_imagery" not in executed(project, **pattern)  # as it was before
    changed_scene(project)
    assert "find_imagery" in executed(project, **pattern)
    stac = PREDICT | {"imagery": STAC}
    executed(project, **stac)
    assert "find_imagery" in executed(project, **stac)  # a catalogue is asked in every run


def test_a_run_with_nothing_to_do_imports_no_library_of_images_or_networks(project: Path) -> None:
    spec = {"pipeline": "predict", "imagery": FILES, "model": MODEL, "output": "out/again", "cluster": "inline"}
    (project / "again.yaml").write_text(yaml.safe_dump(spec))
    assert swath.run(swath.load(project / "again.yaml")).status == "done"
    words = [sys.executable, "-X", "importtime", "-m", "swath.cli", "run", "again.yaml"]
    done = subprocess.run(words, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "swath.runner.runner" in imported
    assert "swath.imagery.sources.find" not in imported
    heavy = {
        "torch",
        "rasterio",
        "odc.geo",
        "pyproj",
        "shapely",
        "dask",
        "distributed",
        "boto3",
        "ssl",
        "onnxruntime",
        "pandas",
    }
    assert not imported & heavy


TRAIN = {
    "pipeline": "train", "data": {"imagery": {**FILES, "bands": ["gray"]}, "labels": RASTER}, "classes": CLASSES, "bands": ["gray"],
    "split": {"by": "columns", "validation": 0.3}, "sampling": {"chip": 32, "batch": 2, "steps": 1}, "epochs": 1,
    "network": "nets:learn",
}  # fmt: skip


@pytest.mark.slow
def test_a_training_is_made_again_for_other_images_labels_code_and_initial_weights(project: Path) -> None:
    assert "train_network" in executed(project, **TRAIN)
    shutil.copy(project / "out/result/result.safetensors", project / "first.safetensors")
    from_weights = TRAIN | {"network": {"name": "nets:learn", "weights": "first.safetensors"}}

    def changed_initial_weights(folder: Path) -> None:
        shutil.copy(folder / "out/result/result.safetensors", folder / "first.safetensors")

    def changed_network(folder: Path) -> None:
        (folder / "nets.py").write_text(NETS.replace("torch.nn.ReLU()", "torch.nn.Tanh()"))

    assert "train_network" in executed(project, **from_weights)
    for change in (None, changed_scene, changed_labels, changed_initial_weights, changed_network):
        if change is not None:
            change(project)
        assert ("train_network" in executed(project, **from_weights)) is (change is not None), change


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "pipelines"])
def test_modules_that_a_spec_names_import_from_root_and_pipelines_and_travel_to_workers(
    project: Path, folder: str
) -> None:
    (project / folder).mkdir(exist_ok=True)
    for name in ("nets.py", "layers.py"):
        shutil.move(project / name, project / folder / name)
    outcome = swath.run(job(project, **PREDICT | {"cluster": {"kind": "local", "workers": 1}}))
    assert outcome.status == "done", outcome.error
