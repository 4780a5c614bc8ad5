"""First prediction from a .pt2 file in a new process: our reader beside torch.export.load. Run: python bench/pt2.py [REPEATS]

For models/water.pt2 and a U-Net of two million parameters, in turns, each run in a new process on one thread; the table has
medians. `wall` and `CPU` are of the whole process. Of the CPU time, `load` is the first call that reads the file, with the imports
that it causes, and `again` a second one, without them; `first` ends with the first prediction, of 512 x 512 pixels.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("wall", "CPU", "load", "first", "again")
READERS = {
    "swath": "from swath.models.exported_archive import read_program as read",
    "torch": "read = lambda path: torch.export.load(path).module()",
    "torch, import alone": "read = None",
}
CHILD = """
import json, sys, time
import torch
torch.set_num_threads(1)
{reader}
path, imported = sys.argv[1], time.process_time()
if read:
    network = read(path)
    loaded = time.process_time()
    with torch.inference_mode():
        total = float(network(torch.ones(1, 4, 512, 512)).sum())
    predicted = time.process_time()
    read(path)
    print(json.dumps([loaded - imported, predicted, time.process_time() - predicted, total]))
"""
LARGE = """
import sys, torch
from swath.models.unet import UNet
torch.manual_seed(0)
sides = {0: torch.export.Dim("batch", min=1), 2: 16 * torch.export.Dim("rows", min=2), 3: 16 * torch.export.Dim("columns", min=2)}
program = torch.export.export(UNet(4, 2, width=16, depth=4).eval(), (torch.zeros(2, 4, 64, 80),), dynamic_shapes=(sides,))
torch.export.save(program, sys.argv[1])
"""


def measure(reader: str, path: Path) -> dict[str, float]:
    """One process: its wall and CPU seconds, and what it measured itself."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = python(CHILD.format(reader=reader), path)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    load, first, again, result = json.loads(done) if done else (float("nan"),) * 4
    return {"wall": wall, "CPU": cpu, "load": load, "first": first, "again": again, "result": result}


def python(code: str, path: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, str(path)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.pt2"
        python(LARGE, large)
        for path in (ROOT / "models" / "water.pt2", large):
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
            for _ in range(repeats):
                for name, reader in READERS.items():
                    runs[name].append(measure(reader, path))
            load = " ".join(f"{each:.1f}" for each in os.getloadavg())
            print(f"\n{path.name}, {path.stat().st_size / 1e6:.1f} MB; medians of {repeats}; machine load {load}")
            print(f"{'seconds':22}" + "".join(f"{column:>8}" for column in COLUMNS))
            for name, each in runs.items():
                medians = [statistics.median(run[column] for run in each) for column in COLUMNS]
                print(f"{name:22}" + "".join(f"{value:8.2f}" for value in medians))
            if len({run["result"] for name in ("swath", "torch") for run in runs[name]}) > 1:
                raise SystemExit("the two readers gave different results")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
