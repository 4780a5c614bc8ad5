"""Trainings through the real command: what comes out, what a kill costs, and that the same seed gives the same model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from tests.e2e.test_stores import listing, store
from tests.process import ROOT, Pipe

pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 280
"""Libraries for learning take seconds to import, and many times that on a busy machine."""
RULE = {
    "source": "expression",
    "expression": "(green - nir) / (green + nir) > 0.1",
    "label": "water",
    "otherwise": "land",
}


@pytest.fixture
def project(pipe: Pipe) -> Pipe:
    """A project with an image in which water is dark in the near infrared."""
    random = np.random.default_rng(2)
    wet = np.kron(random.random((16, 20)) < 0.4, np.ones((16, 16), bool))
    noise = random.integers(0, 20, (4, *wet.shape))
    base = np.where(wet, np.array([60, 90, 50, 20])[:, None, None], np.array([80, 90, 70, 160])[:, None, None])
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": wet.shape[1], "height": wet.shape[0], "count": 4, "dtype": "uint8", "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5400000), "tiled": True, "blockxsize": 64, "blockysize": 64,
    }  # fmt: skip
    with rasterio.open(pipe.folder / "image.tif", "w", **profile) as image:
        image.write((base + noise).astype(np.uint8))
    return pipe


def spec(project: Pipe, name: str = "train", **changed: Any) -> Path:
    document = {
        "pipeline": "train",
        "cluster": "inline",
        "data": {
            "imagery": {"source": "files", "paths": ["image.tif"], "names": ["red", "green", "blue", "nir"]},
            "labels": RULE,
        },
        "classes": ["land", {"name": "water", "color": "2B7BBA"}],
        "bands": ["red", "green", "blue", "nir"],
        "split": {"by": "blocks", "size_m": 600, "buffer_m": 20, "validation": 0.3},
        "sampling": {"chip": 32, "batch": 4, "steps": 6},
        "network": {"name": "unet", "width": 4, "depth": 2},
        "optimizer": {"learning_rate": 0.02},
        "epochs": 3,
        "threads": 1,
        "licence": "CC0-1.0",
        "output": "out/water",
        **changed,
    }
    path = project.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def evaluate(project: Pipe, name: str, **fields: Any) -> dict[str, Any]:
    """The scores of the model in out/water on what it was made from."""
    data = yaml.safe_load((project.folder / "train.yaml").read_text())["data"]
    document = {"pipeline": "evaluate", "cluster": "inline", "model": "out/water/water.pt2", "data": data, **fields}
    path = project.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**document, "output": f"out/{name}"}))
    project("run", path, timeout=PATIENCE_S)
    told: dict[str, Any] = json.loads((project.folder / "out" / name / "scores.json").read_text())
    return told


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_training_gives_a_model_that_predict_uses_with_contract_curves_and_card(project: Pipe) -> None:
    done = project("run", spec(project, tiles="out/tiles"), "--json", timeout=PATIENCE_S)
    assert len((project.folder / "out/tiles/tiles.csv").read_text().splitlines()) > 20
    out = project.folder / "out/water"
    assert {path.name for path in out.iterdir()} >= {
        "water.pt2", "water.safetensors", "water.json", "water-curves.png", "water-curves.csv", "water-card.html",
    }  # fmt: skip
    assert not list(out.parent.glob(".*training*"))
    assert done.count("call_metrics") == 3
    progress = [e for e in done.events if e["event"] == "call_progress" and e["node"] == "train_network"]
    assert (progress[-1]["done"], progress[-1]["total"]) == (18, 18)
    told = json.loads((out / "water.json").read_text())
    metrics, training = told["swath:metrics"], told["swath:training"]
    assert metrics["mean_iou"] > 0.9
    assert sum(map(sum, metrics["confusion"])) == sum(training["pixels"]["validation"])
    assert training["weights_sha256"] == sha256(out / "water.safetensors")
    assert training["split"]["seed"] == 1
    assert told["mlm:input"][0]["value_scaling"][3]["stddev"] > 50
    assert told["swath:resolution_m"] == 10
    assert (told["swath:licence"], told["mlm:output"][0]["classification:classes"][1]["color_hint"]) == (
        "CC0-1.0",
        "2B7BBA",
    )
    assert len((out / "water-curves.csv").read_text().splitlines()) == 4
    card = (out / "water-card.html").read_text()
    assert f"{metrics['mean_iou']:.3f}" in card
    assert "data:image/png;base64," in card
    evaluated = evaluate(project, "held-back", split="validation")
    assert evaluated["confusion_matrix"]["pixels"] == metrics["confusion"]
    assert evaluated["about"]["where"] == "validation split"
    everything = evaluate(project, "everything")
    share = sum(training["pixels"]["train"]) / everything["scored_pixels"]
    said = (project.folder / "out/everything/scores.html").read_text()
    assert f"{100 * share:.0f} % of the scored pixels were trained on" in said
    imagery = {"source": "files", "paths": ["image.tif"], "names": ["red", "green", "blue", "nir"]}
    project(
        "run",
        project.spec("predict", imagery=imagery, model="out/water/water.pt2", output="out/map"),
        timeout=PATIENCE_S,
    )
    with (
        rasterio.open(project.folder / "out/map/map.tif") as made,
        rasterio.open(project.folder / "image.tif") as image,
    ):
        _, green, _, nir = image.read().astype(float)
        wet = (green - nir) / (green + nir) > 0.1
        assert (made.read(1) == wet).mean() > 0.95


@pytest.mark.slow
def test_two_runs_with_one_seed_give_the_same_model_and_another_seed_another(project: Pipe) -> None:
    short = {"epochs": 1, "split": {"by": "columns"}}
    both, alone = ({"to": f"out/{name}", "name": "model"} for name in ("both", "alone"))
    project("run", spec(project, "one", matrix={"seed": [1, 2]}, output=both, **short), timeout=PATIENCE_S)
    project("run", spec(project, "two", output=alone, **short), "--fresh", timeout=PATIENCE_S)
    one, two, again = (
        sha256(project.folder / "out" / folder / "model.safetensors")
        for folder in ("both/seed=1", "both/seed=2", "alone")
    )
    assert one == again != two


@pytest.mark.slow
def test_a_search_looks_at_the_data_once_and_marks_the_best_training(project: Pipe) -> None:
    matrix = {"optimizer.learning_rate": {"between": [0.0001, 0.03], "scale": "log"}, "network.width": [2, 4]}
    output = {"to": "out/tried", "name": "model"}
    path = spec(project, epochs=1, matrix=matrix, search={"random": 3, "seed": 1, "best": "mean IoU"}, output=output)
    done = project("run", path, "--json", timeout=PATIENCE_S)
    made = [event["node"] for event in done.events if event["event"] == "call_done" and not event["reused"]]
    assert (sum("survey" in node for node in made), sum(node.endswith("train_network") for node in made)) == (1, 3)
    rows = json.loads(project("runs", "table", "last", "--json").out)
    best = max(rows, key=lambda row: row["numbers"]["mean IoU"])
    assert [row["best"] for row in rows] == [row is best for row in rows]
    assert len({row["values"]["optimizer.learning_rate"] for row in rows}) == 3
    assert (Path(best["folder"]) / "model.pt2").is_file()


@pytest.mark.slow
def test_a_training_whose_machine_is_gone_is_resumed_from_a_copied_checkpoint_to_the_same_weights(
    project: Pipe, tmp_path: Path
) -> None:
    long = {"epochs": 6, "sampling": {"chip": 32, "batch": 4, "steps": 10}}
    project("run", spec(project, "whole", output={"to": "out/whole", "name": "model"}, **long), timeout=PATIENCE_S)
    path = spec(project, "cut", output={"to": "s3://pixels/cut", "name": "model"}, **long)
    with store("s3", tmp_path) as environment:
        project.env.update(environment)
        disks = [{"TMPDIR": str(tmp_path / name)} for name in ("first", "second")]
        for disk in disks:
            Path(disk["TMPDIR"]).mkdir()
        process = project.start("run", path, "--json", start_new_session=True, env=disks[0])
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += '"call_metrics"' in line
            if seen == 3:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        (run,) = [line for line in json.loads(project("runs", "--json").out) if line["name"] == "cut"]
        resumed = project("resume", run["id"], "--json", timeout=PATIENCE_S, env=disks[1])
        found = listing(project, "s3", "pixels/cut")
    assert 0 < resumed.count("call_metrics") < 6
    assert "checkpoints come from s3://pixels/cut" in resumed.out
    assert found["pixels/cut/model.safetensors"] == sha256(project.folder / "out/whole/model.safetensors")
    assert not [name for name in found if "training" in name]


def test_plan_tells_steps_and_memory_and_starts_nothing(project: Pipe) -> None:
    told = json.loads(project("plan", spec(project), "--json").out)
    assert (told["images"], told["epochs"], told["steps"], told["chips"]) == (1, 3, 18, 72)
    assert told["memory_bytes"] > 2**28
    assert not (project.folder / "out").exists()


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"best": "forest"}, "none of mean_iou, accuracy, loss, land, water"),
        ({"classes": ["land", "land"]}, "a name of its own"),
        ({"loss": {"name": "focal", "class_weights": [1.0]}}, "1 numbers for 2 classes"),
        ({"network": "resnet"}, "network"),
    ],
)
def test_a_mistake_in_the_spec_is_named_before_anything_starts(
    project: Pipe, changed: dict[str, Any], what: str
) -> None:
    done = project("check", spec(project, **changed), code=2)
    assert what in done.err


@pytest.mark.slow
def test_the_shipped_spec_trains_a_little_on_the_demos_scene(project: Pipe, scene: Path) -> None:
    (project.folder / "data").mkdir()
    (project.folder / "data/landsat.tif").symlink_to(scene)
    (project.folder / "train.yaml").write_text((ROOT / "specs/train.yaml").read_text())
    short = ("sampling.steps=2", "epochs=1", "cluster=inline", "threads=1")
    project("run", "train.yaml", *(word for each in short for word in ("--set", each)), timeout=PATIENCE_S)
    assert (project.folder / "out/water/water.pt2").is_file()


@pytest.mark.slow
def test_the_contract_names_the_commit_at_the_start_of_the_training(project: Pipe) -> None:
    """A training that is reused keeps the commit that it was made with, whatever was committed since."""

    def commit(message: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        for words in (["add", "train.yaml"], [*identity, "commit", "-q", "--allow-empty", "-m", message]):
            subprocess.run(["git", *words], cwd=project.folder, check=True)
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=project.folder, check=True, capture_output=True, text=True
        )
        return head.stdout.strip()

    path = spec(project, epochs=1)
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    first = commit("one")
    project("run", path, timeout=PATIENCE_S)
    contract = project.folder / "out/water/water.json"
    assert json.loads(contract.read_text())["swath:training"]["git_commit"].startswith(first)
    shutil.rmtree(project.folder / "out")
    commit("two")
    project("run", path, timeout=PATIENCE_S)
    assert json.loads(contract.read_text())["swath:training"]["git_commit"].startswith(first)
