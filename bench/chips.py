"""Chips per second of swath's sampler, beside torchgeo's and beside decoding alone. Run: python bench/chips.py [--help]

All read the same windows (those that swath draws) of the same synthetic image and labels. Each measurement is a process of its own, in
turns; the table has medians. The survey before a training is not included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).parent / "cases"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="folder of the images")
    parser.add_argument("--sizes", type=lambda text: [int(each) for each in text.split(",")], default=[2048, 4096])
    parser.add_argument("--edge", type=int, default=128, help="of a chip, in pixels")
    parser.add_argument("--batches", type=int, default=200, help="of 8 chips")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--peers", default=os.environ.get("SWATH_BENCH_PEERS", sys.executable), help="Python that has torchgeo"
    )
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for size in options.sizes:
        measure(folder, size, options)
    return 0


def measure(folder: Path, size: int, options: argparse.Namespace) -> None:
    """Measure all readers on one image."""
    common = [str(folder), str(size), str(options.edge), str(options.batches)]
    run([sys.executable, str(CASES / "chips_swath.py"), "places", *common])
    places = [
        str(folder / f"{kind}-{size}.{end}")
        for kind, end in (("textured", "tif"), ("labels", "tif"), ("places", "json"))
    ]
    kinds = {
        "swath": [sys.executable, str(CASES / "chips_swath.py"), "chips", *common],
        "each block once": [sys.executable, str(CASES / "chips_swath.py"), "blocks", *common],
        "rasterio, same windows": [sys.executable, str(CASES / "chips_swath.py"), "windows", *common],
    } | {
        f"torchgeo, {workers} workers": [
            options.peers,
            str(CASES / "chips_torchgeo.py"),
            *places,
            str(options.edge),
            str(workers),
        ]
        for workers in (0, 2)
    }
    measured: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.turns):
        for kind, words in kinds.items():
            if (result := run(words, optional=kind.startswith("torchgeo"))) is not None:
                measured.setdefault(kind, []).append(result)
    sums = {each["labels"] for kind in measured for each in measured[kind] if "labels" in each}
    if len(sums) > 1:
        raise SystemExit(f"the readers did not read the same labels: their sums are {sorted(sums)}")
    chips = options.batches * 8
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"\n{chips} chips of {options.edge} pixels, image of {size} x {size} x 4 uint16; load {load}")
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}{'chips/s':>9}{'CPU ms/chip':>13}{'CPU x swath':>13}")
    ours = statistics.median(each["cpu_s"] for each in measured["swath"])
    for kind, each in measured.items():
        wall, cpu = (statistics.median(one[unit] for one in each) for unit in ("wall_s", "cpu_s"))
        print(f"{kind:24}{wall:8.2f}{cpu:8.2f}{chips / wall:9.0f}{1000 * cpu / chips:13.2f}{cpu / ours:13.2f}")
    for kind in kinds.keys() - measured.keys():
        print(f"{kind}: not installed; see bench/README.md")


def run(words: list[str], *, optional: bool = False) -> dict[str, float] | None:
    """The last line that a process printed, from JSON; None where an optional package is not installed."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{CASES}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        if optional and "ModuleNotFoundError" in done.stderr:
            return None
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr.strip()[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
    return result


if __name__ == "__main__":
    raise SystemExit(main())
