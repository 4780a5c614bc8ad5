"""CPU time of `pipe list` in units of `import typer`, for 6 and for 60 pipelines. Run: python bench/start.py [REPEATS]

The index of pipelines is in a cache folder of its own. The line "no index" is a start that has to import all pipelines.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MORE = 54
"""Pipelines of the project beside the six of swath."""
PIPELINE = '''
from swath import Area, Imagery, ModelRef, Output, Spec, pipeline, task


class Parameters{n}(Spec):
    area: Area | None = None
    imagery: Imagery
    model: ModelRef
    output: Output
    level: int = {n}


@task
def work(level: int) -> int:
    return level


@pipeline
def pipeline_{n}(spec: Parameters{n}):
    """Number {n} of many."""
    return work(spec.level)
'''


def cpu_s(words: list[str], folder: Path, env: dict[str, str]) -> float:
    """User and system time of one Python process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def project(folder: Path, pipelines: int) -> Path:
    """A project with so many pipelines of its own, in files that are old enough for an index."""
    (folder / "pipelines").mkdir(parents=True)
    (folder / "swath.yaml").write_text("")
    for n in range(pipelines):
        file = folder / "pipelines" / f"pipeline_{n}.py"
        file.write_text(PIPELINE.format(n=n))
        os.utime(file, (1_600_000_000, 1_600_000_000))
    return folder


def main(repeats: int) -> None:
    """Print the median of each, taken in turns so that a busy machine is unfair to none."""
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        indexed = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(top / "cache"), "SWATH_TRUST": "1"}
        nowhere = indexed | {"XDG_CACHE_HOME": os.devnull}
        few, many = project(top / "few", 0), project(top / "many", MORE)
        listing = ["-m", "swath.cli", "list"]
        cases = {
            "import typer": (["-c", "import typer"], few, indexed),
            "pipe --help": (["-m", "swath.cli", "--help"], few, indexed),
            "pipe list, 6 pipelines": (listing, few, indexed),
            "pipe list, 60 pipelines": (listing, many, indexed),
            "pipe list --json, 60 pipelines": ([*listing, "--json"], many, indexed),
            "pipe list, 6 pipelines, no index": (listing, few, nowhere),
            "pipe list, 60 pipelines, no index": (listing, many, nowhere),
        }
        for case in cases.values():  # writes the index, and bytecode
            cpu_s(*case)
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(repeats):
            for name, case in cases.items():
                times[name].append(cpu_s(*case))
    base = statistics.median(times["import typer"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:<34} median {median * 1000:4.0f} ms of CPU  {median / base:.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
