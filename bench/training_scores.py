"""Scores of trainings on real imagery, by `pipe run` of load, train and evaluate on the validation split.

Run: python bench/training_scores.py DATA [--only naip,clouds,kampala,lake]. DATA is a folder of images with labels (`trainings` names
the files). Each score is compared with that of an earlier experiment with a U-Net of the same size on the same places.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CLOUD_BANDS = ["blue", "green", "red", "nir", "swir16", "swir22"]
NAIP_BANDS = ["red", "green", "blue", "nir"]


@dataclass(frozen=True)
class BenchTraining:
    """A training with its expected scores."""

    train: dict[str, Any]
    scores: dict[str, tuple[dict[str, Any], dict[str, float]]]
    """Of each evaluation: its labelled imagery, and the least IoU of each class."""
    cpu_s: float
    """CPU time of the earlier experiment."""
    load: dict[str, Any] | None = None
    """Spec of load, for imagery that is loaded first."""


def trainings(data: Path) -> dict[str, BenchTraining]:
    """All trainings by name, with paths below `data`."""
    water = {"source": "expression", "label": "water", "otherwise": "land"}

    def naip(years: str) -> dict[str, Any]:
        imagery = {"source": "files", "paths": [f"{data}/imagery/naip_nd_{years}*.tif"], "bands": NAIP_BANDS}
        return {"imagery": imagery, "labels": water | {"expression": "(green - nir) / (green + nir) > 0.1"}}

    def clouds(sensor: str, meaning: dict[int, str]) -> dict[str, Any]:
        path = f"{data}/labels/clouds/{sensor}"
        imagery = {"source": "files", "paths": [f"{path}_img.tif"], "names": CLOUD_BANDS}
        return {"imagery": imagery, "labels": {"source": "raster", "path": f"{path}_mask.tif", "classes": meaning}}

    meaning = {0: "shadow", 1: "clear", 2: "clear", 3: "clear", 4: "cloud"}
    sensors = {sensor: clouds(sensor, meaning) for sensor in ("sentinel2", "landsat7")}
    kampala = {
        "imagery": {"source": "stac", "catalog": "loaded/kampala/collection.json", "bands": ["red", "green", "blue"]},
        "labels": {
            "source": "vector", "path": f"{data}/labels/buildings/kampala_west.geojson", "label": "building", "background": "other",
        },
    }  # fmt: skip
    lake = {
        "imagery": {
            "source": "files", "paths": [str(ROOT / "data/landsat.tif")],
            "names": ["blue", "green", "red", "nir", "swir16", "thermal", "swir22"],
        },
        "labels": water | {"expression": "(green - swir16) / (green + swir16) > 0.3"},
    }  # fmt: skip
    chips = {"chip": 128, "batch": 8, "steps": 50}
    return {
        "naip": BenchTraining(
            train={
                "data": naip("201"), "classes": ["land", "water"], "bands": NAIP_BANDS, "sampling": chips, "epochs": 8,
                "split": {"by": "scene", "validation": ["naip_nd_2014*"], "overlap": "allow"},
            },
            scores={"2014": (naip("2014"), {"water": 0.86})},
            cpu_s=190,
        ),
        "clouds": BenchTraining(
            train={
                "data": list(sensors.values()), "classes": ["clear", "cloud", "shadow"], "bands": CLOUD_BANDS,
                "sampling": chips | {"balance": "classes"}, "epochs": 24, "split": {"by": "columns", "validation": 0.25},
                "loss": ["cross_entropy", "dice"], "optimizer": {"learning_rate": 0.003},
            },
            scores={
                "sentinel2": (sensors["sentinel2"], {"clear": 0.95, "cloud": 0.92, "shadow": 0.85}),
                "landsat7": (sensors["landsat7"], {"clear": 0.72, "cloud": 0.75, "shadow": 0.72}),
            },
            cpu_s=340,
        ),
        "kampala": BenchTraining(
            load={
                "imagery": {
                    "source": "files", "paths": [f"{data}/labels/buildings/kampala_west.tif"], "resampling": "average",
                    "bands": ["red", "green", "blue"],
                },
                "grid": {"resolution": 0.298582},
                "output": "loaded/kampala",
            },
            train={
                "data": kampala, "classes": ["other", "building"], "bands": ["red", "green", "blue"], "sampling": chips,
                "epochs": 5, "split": {"by": "columns", "validation": 0.25},
            },
            scores={"the last columns": (kampala, {"building": 0.58})},
            cpu_s=79,
        ),
        "lake": BenchTraining(
            train={
                "data": lake, "classes": ["land", "water"], "bands": ["blue", "green", "red", "nir"],
                "sampling": chips | {"balance": "classes"}, "epochs": 5, "split": {"by": "columns", "validation": 0.3252},
            },
            scores={"the east": (lake, {"land": 0.91, "water": 0.92})},
            cpu_s=205,
        ),
    }  # fmt: skip


def pipe(folder: Path, name: str, document: dict[str, Any]) -> tuple[float, float]:
    """Wall and CPU seconds of `pipe run` on a spec."""
    spec = folder / f"{name}.yaml"
    spec.write_text(json.dumps({"cluster": "inline", **document}, indent=2), encoding="utf-8")  # JSON is YAML
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SWATH_HOME": str(folder / "home")}
    words = [sys.executable, "-m", "swath.cli", "run", spec.name, "--fresh"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{spec} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Train, score and print; 1 when a score is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of imagery with labels")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench" / "training-scores", help="folder of the models"
    )
    parser.add_argument("--only", help="names of trainings, separated by commas; all when not given")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "swath.yaml").touch()  # a project of its own
    known = trainings(arguments.data.resolve())
    reached = True
    for name in arguments.only.split(",") if arguments.only else known:
        training = known[name]
        if training.load is not None:
            pipe(folder, f"{name}-load", {"pipeline": "load", **training.load})
        wall, cpu = pipe(folder, f"{name}-train", {"pipeline": "train", **training.train, "output": f"models/{name}"})
        print(
            f"{name:9} trained in {wall:.0f} s, {cpu:.0f} CPU s (earlier experiment {training.cpu_s:.0f})", flush=True
        )
        for place, (data, expected) in training.scores.items():
            to = f"scores/{name}-{place.replace(' ', '-')}"
            document = {
                "model": f"models/{name}/{name}.pt2", "data": data, "split": "validation", "output": to,
            }  # fmt: skip
            pipe(folder, f"{name}-evaluate", {"pipeline": "evaluate", **document})
            scores = json.loads((folder / to / "scores.json").read_text(encoding="utf-8"))
            for label, least in expected.items():
                iou = scores["by_class"][label]["iou"]["value"]
                enough = round(iou, 2) >= least  # rounded as the experiment's scores are
                reached &= enough
                verdict = "reached" if enough else "NOT reached"
                print(f"  {place:18} {label:10} IoU {iou:.3f} (earlier experiment {least:.2f}: {verdict})", flush=True)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
