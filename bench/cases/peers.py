"""One measurement of another tool, as a process of its own, in whatever interpreter has that tool.

Run by bench/engine.py: python bench/cases/peers.py CASE N FOLDER. The last line on stdout is a JSON object; when the tool
is not installed it says so.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def noop(x: int) -> int:
    """The call whose cost is all overhead."""
    return x


def timed(body: Callable[[], Any]) -> dict[str, float]:
    """Wall and processor seconds of a function, the latter of this process and of the children that it has waited for."""
    cpu, began = sum(os.times()[:4]), time.perf_counter()
    body()
    return {"wall_s": time.perf_counter() - began, "cpu_s": sum(os.times()[:4]) - cpu}


def delayed(n: int, folder: Path) -> dict[str, Any]:
    """Plain Dask, one delayed call for each item, in this process; nothing is kept."""
    import dask

    call = dask.delayed(noop)
    dask.compute(call(0), scheduler="synchronous")
    return timed(lambda: dask.compute([call(x) for x in range(n)], scheduler="synchronous"))


def bag(n: int, folder: Path) -> dict[str, Any]:
    """Plain Dask, a bag of a hundred partitions on two processes; nothing is kept, and a partition is the smallest step."""
    import dask.bag

    items = dask.bag.from_sequence(range(n), npartitions=100).map(noop)
    return timed(lambda: items.compute(scheduler="processes", num_workers=2))


def prefect(n: int, folder: Path) -> dict[str, Any]:
    """A Prefect 3 flow with its default state: a server of its own on SQLite. Its start is measured apart from its calls."""
    os.environ.update(
        PREFECT_HOME=str(folder), PREFECT_LOGGING_LEVEL="ERROR", PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1",
        PREFECT_LOGGING_TO_API_ENABLED="false", PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
    )  # fmt: skip
    from prefect import flow, task

    call = task(noop)
    clock: dict[str, float] = {}

    @flow
    def many() -> None:
        clock.update(timed(lambda: [call(x) for x in range(n)]))

    began = time.perf_counter()
    many()
    return clock | {"start_s": time.perf_counter() - began - clock["wall_s"]}


def luigi(n: int, folder: Path) -> dict[str, Any]:
    """Luigi's local scheduler with one worker; each task leaves its target, as its resuming needs."""
    import luigi

    folder.mkdir(parents=True, exist_ok=True)

    class Noop(luigi.Task):
        x = luigi.IntParameter()

        def output(self) -> Any:
            return luigi.LocalTarget(folder / str(self.x))

        def run(self) -> None:
            (folder / str(self.x)).write_text(str(noop(self.x)))

    return timed(lambda: luigi.build([Noop(x=x) for x in range(n)], local_scheduler=True, log_level="CRITICAL"))


CASES: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "delayed": delayed,
    "bag": bag,
    "prefect": prefect,
    "luigi": luigi,
}


def main(case: str, n: int, folder: Path) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    try:
        found = CASES[case](n, folder) | {"calls": n}
    except ImportError as error:
        found = {"missing": str(error)}
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
