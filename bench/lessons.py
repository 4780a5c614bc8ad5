"""What trainings on real imagery reach, by the commands that a user would type: load, train, then evaluate what was held back.

Run: python bench/lessons.py DATA [--only naip,clouds,kampala,lake]. DATA is a folder of images with labels (`lessons` names the files).
Each score is beside the one that a quick experiment with a U-Net of the same size reached on the same places.
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
class Lesson:
    """One training, and what it is measured by."""

    train: dict[str, Any]
    scores: dict[str, tuple[dict[str, Any], dict[str, float]]]
    """Of each evaluation: its imagery with labels, and the IoU to reach, by class."""
    cpu_s: float
    """Processor time of the quick experiment."""
    load: dict[str, Any] | None = None
    """What is loaded before."""


def lessons(data: Path) -> dict[str, Lesson]:
    """All of them, with paths below `data`."""
    wet = {"source": "expression", "label": "water", "otherwise": "land"}

    def naip(years: str) -> dict[str, Any]:
        imagery = {"source": "files", "paths": [f"{data}/imagery/naip_nd_{years}*.tif"], "bands": NAIP_BANDS}
        return {"imagery": imagery, "labels": wet | {"expression": "(green - nir) / (green + nir) > 0.1"}}

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
        "labels": wet | {"expression": "(green - swir16) / (green + swir16) > 0.3"},
    }  # fmt: skip
    chips = {"chip": 128, "batch": 8, "steps": 50}
    return {
        "naip": Lesson(
            train={
                "data": naip("201"), "classes": ["land", "water"], "bands": NAIP_BANDS, "sampling": chips, "epochs": 8,
                "split": {"by": "scene", "validation": ["naip_nd_2014*"], "overlap": "allow"},
            },
            scores={"2014": (naip("2014"), {"water": 0.86})},
            cpu_s=190,
        ),
        "clouds": Lesson(
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
        "kampala": Lesson(
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
        "lake": Lesson(
            train={
                "data": lake, "classes": ["land", "water"], "bands": ["blue", "green", "red", "nir"],
                "sampling": chips | {"balance": "classes"}, "epochs": 5, "split": {"by": "columns", "validation": 0.3252},
            },
            scores={"the east": (lake, {"land": 0.91, "water": 0.92})},
            cpu_s=205,
        ),
    }  # fmt: skip


def pipe(folder: Path, name: str, document: dict[str, Any]) -> tuple[float, float]:
    """Seconds and processor seconds of `pipe run` on a spec."""
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
    """Train, score, print; 1 when a score is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of imagery with labels")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "lessons", help="where models go")
    parser.add_argument("--only", help="names of lessons, with commas; all when not given")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "swath.yaml").touch()  # a project of its own
    known = lessons(arguments.data.resolve())
    reached = True
    for name in arguments.only.split(",") if arguments.only else known:
        lesson = known[name]
        if lesson.load is not None:
            pipe(folder, f"{name}-load", {"pipeline": "load", **lesson.load})
        wall, cpu = pipe(folder, f"{name}-train", {"pipeline": "train", **lesson.train, "output": f"models/{name}"})
        print(f"{name:9} trained in {wall:.0f} s, {cpu:.0f} CPU s (quick experiment {lesson.cpu_s:.0f})", flush=True)
        for place, (held, wanted) in lesson.scores.items():
            to = f"scores/{name}-{place.replace(' ', '-')}"
            document = {
                "model": f"models/{name}/{name}.pt2", "data": held, "split": "validation", "output": to,
            }  # fmt: skip
            pipe(folder, f"{name}-evaluate", {"pipeline": "evaluate", **document})
            scores = json.loads((folder / to / "scores.json").read_text(encoding="utf-8"))
            for label, least in wanted.items():
                found = scores["by_class"][label]["iou"]["value"]
                enough = round(found, 2) >= least  # to the digits that the experiment tells
                reached &= enough
                verdict = "reached" if enough else "NOT reached"
                print(f"  {place:18} {label:10} IoU {found:.3f} (quick experiment {least:.2f}: {verdict})", flush=True)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
