"""One measurement of the `pipe` command on a project of its own, as a process of its own.

Run by bench/engine.py: python bench/cases/command.py CASE N FOLDER. The last line on stdout is a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PIPELINE = '''"""Calls that do nothing; the first says when it began and what its process had imported."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath import Spec, pipeline, task


class Noops(Spec):
    n: int
    mark: str


@task
def noop(x: int, *, mark: str) -> int:
    if x == 0:
        began = time.time()
        Path(mark).write_text(json.dumps([began, sorted(sys.modules)]))
    return x


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@pipeline
def noops(spec: Noops) -> Any:
    """Many calls that do nothing."""
    return total(noop.map(range(spec.n), mark=spec.mark))
'''
OF_CLIENT = {"inline": (), "local": ("distributed", "swath.cluster.local.local")}
"""What the client imports for a cluster, beside what it imports for an inline run."""
OF_WORKERS = {"inline": (), "local": ("distributed", "swath.cluster.local.fork_preload")}
"""What the process that workers are forked from imports, at the same time."""
IMPORTS = """
import contextlib, importlib, json, sys, time
for name in json.load(sys.stdin):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
print(time.time())
"""


def run(kind: str, n: int, folder: Path) -> dict[str, Any]:
    """One whole `pipe run`: when its first call began, when it ended, and what the first call's process had imported."""
    (folder / "pipelines").mkdir(parents=True, exist_ok=True)
    (folder / "swath.yaml").write_text("")
    (folder / "pipelines" / "noops.py").write_text(PIPELINE)
    mark = folder / f"{kind}.json"
    (folder / f"{kind}.yaml").write_text(f"pipeline: noops\ncluster: {kind}\nn: {n}\nmark: {mark}\n")
    began = time.time()
    words = [sys.executable, "-m", "swath.cli", "run", f"{kind}.yaml", "--fresh"]
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"pipe run ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    first, modules = json.loads(mark.read_text())
    return {"wall_s": ended - began, "first_s": first - began, "modules": modules}


def imports(*processes: Sequence[str]) -> float:
    """How long interpreters, started together, take until each has imported its modules, in seconds."""
    began = time.time()
    started = [
        subprocess.Popen([sys.executable, "-c", IMPORTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for modules in processes
        if modules
    ]
    for process, modules in zip(started, filter(None, processes), strict=True):
        if process.stdin is not None:
            process.stdin.write(json.dumps(modules))
            process.stdin.close()
    ends = [float((process.stdout.read() if process.stdout else "").split()[-1]) for process in started]
    for process in started:
        process.wait()
    return max(ends) - began


def start(kind: str, folder: Path) -> dict[str, Any]:
    """From the command's start to its first call, above what interpreters and imports alone take."""
    modules = [name for name in run("inline", 1, folder)["modules"] if not name.startswith(("__", "pipelines"))]
    floor = imports([*modules, *OF_CLIENT[kind]], OF_WORKERS[kind])
    first = run(kind, 1, folder)["first_s"]
    return {"calls": 1, "wall_s": first - floor, "imports_s": floor, "first_s": first}


def whole(kind: str, n: int, folder: Path) -> dict[str, Any]:
    """A whole `pipe run`, from the start of the process to its end."""
    return {"calls": n, "wall_s": run(kind, n, folder)["wall_s"]}


CASES: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "start_inline": lambda n, folder: start("inline", folder),
    "start_local": lambda n, folder: start("local", folder),
    "whole_inline": lambda n, folder: whole("inline", n, folder),
    "whole_local": lambda n, folder: whole("local", n, folder),
}


def main(case: str, n: int, folder: Path) -> None:
    """Measure and print."""
    sys.stdout.write(json.dumps(CASES[case](n, folder)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
