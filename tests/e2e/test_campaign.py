"""A campaign through the real `pipe` process: four pipelines in one run, and maps only if the score passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.process import Pipe


def spec(shared: Path, at_least: float) -> dict[str, Any]:
    """Water on a real aerial photo, by a rule, with a training of a moment."""
    return {
        "pipeline": "campaign", "cluster": "inline", "output": "out",
        "imagery": {"source": "files", "paths": [str(shared / "data/imagery/naip_nd_20120731.tif")],
                    "names": ["red", "green", "blue", "nir"]},
        "labels": {"source": "expression", "expression": "(green - nir) / (green + nir) > 0.1", "label": "water", "otherwise": "land"},
        "classes": ["land", "water"], "bands": ["red", "green", "nir"],
        "split": {"by": "blocks", "size_m": 400, "buffer_m": 20, "validation": 0.2, "test": 0.3},
        "sampling": {"chip": 64, "batch": 4, "steps": 6}, "network": {"name": "unet", "width": 4, "depth": 2}, "epochs": 1,
        "passes": {"score": "IoU water", "at_least": at_least},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_maps_are_made_if_the_score_passes_and_only_then(pipe: Pipe, shared: Path) -> None:
    path = pipe.folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(spec(shared, at_least=0.999)))
    done = pipe("run", path)
    assert "it does not pass, so nothing is mapped" in done.err
    assert not (pipe.folder / "out/maps").exists()
    scores = json.loads((pipe.folder / "out/scores/scores.json").read_text())
    assert scores["about"]["where"] == "test split"
    assert scores["trained_on"] == 0
    contract = json.loads((pipe.folder / "out/model/model.json").read_text())
    pixels = contract["swath:training"]["pixels"]
    assert sum(pixels["test"]) == scores["scored_pixels"] + scores["labelled_without_prediction"]
    # Only what follows from the bar is done again.
    path.write_text(yaml.safe_dump(spec(shared, at_least=0.0)))
    done = pipe("run", path)
    assert "it passes" in done.err
    assert "train/train_network done, reused" in done.err or "train_network done, reused" in done.err
    assert (pipe.folder / "out/maps/all/map.tif").is_file()
    report = json.loads((pipe.folder / "out/report.json").read_text())
    assert report["numbers"]["passed"] is True
    assert report["numbers"]["maps"] == 1


def test_a_split_without_a_test_is_a_mistake(pipe: Pipe, shared: Path) -> None:
    wrong = spec(shared, 0.5)
    wrong["split"] = {"by": "blocks", "validation": 0.2}
    path = pipe.folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(wrong))
    assert "split.test" in pipe("check", path, code=2).err
