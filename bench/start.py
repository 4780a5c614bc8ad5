"""How long `pipe list` takes from cold, in units of `import typer`. Run: python bench/start.py [REPEATS]"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "import typer": ["-c", "import typer"],
    "pipe list": ["-m", "swath.cli", "list"],
    "pipe --help": ["-m", "swath.cli", "--help"],
    "pipe list --json": ["-m", "swath.cli", "list", "--json"],
}


def seconds(words: list[str], folder: str, env: dict[str, str]) -> float:
    """Wall time of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(repeats: int) -> None:
    """Print fastest and median of each, taken in turns so that a busy machine is unfair to none."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for name, words in COMMANDS.items():
                times[name].append(seconds(words, folder, env))
    base = min(times["import typer"])
    for name, taken in times.items():
        print(f"{name:<18} {min(taken):.3f} s  median {statistics.median(taken):.3f} s  {min(taken) / base:.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
