"""The pixel benchmark: its images and models are the same everywhere, its meter counts every process, its table is honest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
CASES = BENCH / "cases"
BURN = "import time\nwhile time.process_time() < {}: pass\n"


def case(folder: Path, *words: str) -> str:
    """Run one of the cases, or Python code with them at hand."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=280, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CASES)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def metered(folder: Path, code: str) -> dict[str, Any]:
    """What a Python program cost."""
    case(folder, str(CASES / "pixels_meter.py"), "cost.json", sys.executable, "-c", code)
    found: dict[str, Any] = json.loads((folder / "cost.json").read_text())
    return found


def test_a_square_of_the_image_has_the_same_pixels_on_every_machine(tmp_path: Path) -> None:
    code = "import pixels_data, sys\nsys.stdout.write(pixels_data.square(512).tobytes().hex())"
    first = case(tmp_path, "-c", code)
    assert first == case(tmp_path, "-c", code)
    pixels = np.frombuffer(bytes.fromhex(first), np.uint16).reshape(4, 512, 512)
    assert pixels.min() >= 1
    assert all(band.std() > 100 for band in pixels)
    # The texture goes on where it ends: the step over the border is no larger than steps within.
    inside = np.abs(np.diff(pixels.astype(int), axis=2)).mean()
    border = np.abs(pixels[:, :, 0].astype(int) - pixels[:, :, -1]).mean()
    assert border < 2 * inside


@pytest.mark.slow
def test_models_are_written_the_same_twice_and_give_all_classes(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, numpy, rasterio, torch, pixels_data, pixels_models as models\n"
        "folder = pathlib.Path('.')\n"
        "pixels_data.EDGE = 512\n"
        "image = pixels_data.image(folder, 512)\n"
        "pixels = torch.from_numpy(rasterio.open(image).read().astype('f4') * models.SCALE)[None]\n"
        "for name in ('micro', 'tiny', 'unet'):\n"
        "    path = models.write(name, folder, image)\n"
        "    first = path.read_bytes()\n"
        "    assert models.write(name, folder, image).read_bytes() == first\n"
        "    network = models.read(name, folder)\n"
        "    with torch.no_grad():\n"
        "        found = network(pixels).argmax(1).numpy()\n"
        "    print(name, sum(each.numel() for each in network.parameters()), len(numpy.unique(found)))\n"
    )
    lines = case(tmp_path, "-c", code).splitlines()
    assert [line.split() for line in lines] == [
        ["micro", "925", "5"], ["tiny", "20005", "5"], ["unet", "1084997", "5"],
    ]  # fmt: skip


def test_the_meter_counts_children_and_what_outlives_its_parent(tmp_path: Path) -> None:
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN.format(0.6)!r}])"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(0.6)!r}])\n{orphan}"
    found = metered(tmp_path, both)
    assert found["code"] == 0
    assert found["left"] == 0
    least = 1.1 if sys.platform == "linux" else 0.6
    assert least < found["cpu_s"] < 4


def test_the_meter_sees_the_memory_of_all_processes_at_once(tmp_path: Path) -> None:
    hold = "import time; held = bytearray(80 << 20); held[::4096] = bytes([1]) * len(held[::4096]); time.sleep(1.2)"
    two = f"import subprocess, sys\nfor child in [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)]: child.wait()"
    found = metered(tmp_path, two)
    assert 160e6 < found["peak_bytes"] < 400e6
    assert sum(process["peak_bytes"] > 80e6 for process in found["processes"]) == 2


def test_the_meter_hands_on_the_exit_code(tmp_path: Path) -> None:
    words = [
        sys.executable,
        str(CASES / "pixels_meter.py"),
        str(tmp_path / "cost.json"),
        sys.executable,
        "-c",
        "exit(3)",
    ]
    assert subprocess.run(words, check=False, timeout=60).returncode == 3


def bench(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What the whole benchmark printed, and what it wrote."""
    file = folder / "found.json"
    words = [sys.executable, str(BENCH / "pixels.py"), "--folder", str(folder), "--json", str(file), *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_floors_and_pipeline_are_measured_and_judged(tmp_path: Path) -> None:
    words = ("--sizes", "1536", "--models", "micro", "--workers", "2", "--only", "floors,pipeline")
    printed, found = bench(tmp_path, *words)
    floors = found["floors"]["micro"][0]["floors_ms"]
    assert set(floors) == {"read", "pre", "forward", "post", "encode"}
    assert all(cost > 0 for cost in floors.values())
    runs = {(run["who"], run["model"], run["size"]): run for run in found["measurements"]}
    for size in (1024, 1536):
        ours = runs["pipe run", "micro", size]
        assert not ours["failed"]
        assert ours["cpu_s"] > 0 < ours["wall_s"]
        assert ours["peak_bytes"] > ours["client_bytes"] / 4
    for target in found["targets"]:
        assert target["text"] in printed
        assert (target["verdict"] == "not measured") == (target["value"] is None)


def test_a_part_that_is_none_is_refused(tmp_path: Path) -> None:
    words = [sys.executable, str(BENCH / "pixels.py"), "--folder", str(tmp_path), "--only", "flors"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "flors: not one of floors, pipeline, peers" in done.stderr
