"""What the engine costs: per call, to resume, to start, in memory, beside bare Dask, other tools and a floor.

Run: python bench/engine.py [--help]. Each measurement is a process of its own. They are taken in turns, several times over,
so that a busy machine is unfair to none; the table has medians, and the floor's processor time beside each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).parent / "cases"
RAM_DISKS = ("tmpfs", "ramfs")


@dataclass
class Line:
    """One measurement, and what came of it."""

    label: str
    script: str
    """Under bench/cases."""
    case: str
    n: int
    once: bool = False
    """Too long to be taken more than once."""
    limit_s: float | None = None
    """Its own time limit."""
    found: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""

    def median(self, name: str) -> float | None:
        """Of a figure over all turns."""
        values = [found[name] for found in self.found if found.get(name) is not None]
        return statistics.median(values) if values else None

    def per_call(self, name: str) -> float | None:
        """A figure in seconds as microseconds per call."""
        values = [1e6 * found[name] / found["calls"] for found in self.found if found.get(name) is not None]
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Target:
    """What a figure should be at most, or at least."""

    text: str
    value: float | None
    bound: float
    unit: str
    least: bool = False

    @property
    def verdict(self) -> str:
        """Whether it is met."""
        if self.value is None:
            return "not measured"
        return "met" if (self.value >= self.bound if self.least else self.value <= self.bound) else "NOT MET"


def plan(options: argparse.Namespace) -> list[Line]:
    """Every measurement, in the order of the table."""
    calls, most = options.calls, max(options.calls)
    peers = [n for n in calls if n <= 10_000] or [min(calls)]
    lines = [Line("floor: a loop, rows in SQLite", "ours", "floor", most)]
    lines += [Line("swath, inline, durable", "ours", "inline", n) for n in calls]
    lines += [Line("swath, local cluster, durable", "ours", "local", n) for n in calls]
    lines += [Line("Dask Client.map, equal cluster", "ours", "client_map", n, once=n > 1000) for n in calls]
    lines += [Line("Dask delayed, in process", "peers", "delayed", n, once=n > 1000) for n in peers]
    lines += [Line("Dask bag, 2 processes", "peers", "bag", n) for n in calls]
    lines += [Line("Prefect 3, default state", "peers", "prefect", n, once=True) for n in peers[:1]]
    lines += [
        Line("Luigi, local scheduler", "peers", "luigi", n, once=True) for n in sorted({min(n, 3000) for n in peers})
    ]
    lines += [Line("swath, resume, all calls finished", "ours", "resume", n) for n in peers[-1:]]
    for kind in ("inline", "local"):
        lines += [Line(f"swath, 3 maps and a reduce, {kind}", "ours", f"chain_{kind}", most, once=True)]
        lines += [Line(f"swath, mapped pipeline, {kind}", "ours", f"steps_{kind}", options.items)]
    lines += [
        Line(f"pipe run, whole command, {kind}", "command", f"whole_{kind}", peers[-1]) for kind in ("inline", "local")
    ]
    lines += [
        Line(f"pipe run, start to first call, {kind}", "command", f"start_{kind}", 1) for kind in ("inline", "local")
    ]
    if options.million:
        many = options.million
        lines += [Line("swath, inline, a million", "ours", "inline", many, once=True, limit_s=900)]
        lines += [Line("swath, local cluster, a million", "ours", "local", many, once=True, limit_s=240)]
    return [line for line in lines if any(text in f"{line.label} {line.case}" for text in options.only)]


def measure(line: Line, options: argparse.Namespace) -> None:
    """Take one measurement."""
    limit = line.limit_s or options.limit
    python = options.peers if line.case in ("prefect", "luigi") else sys.executable
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        process = subprocess.Popen(
            [python, str(CASES / f"{line.script}.py"), line.case, str(line.n), f"{folder}/state"],
            env=os.environ | {"PYTHONPATH": str(ROOT), "SWATH_HOME": f"{folder}/home", "SWATH_TRUST": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            line.failed = f"not done in {limit:g} s"
            return
    if process.returncode:
        line.failed = f"failed: {(err.strip().splitlines() or ['no message'])[-1]}"
        return
    found = json.loads(out.strip().splitlines()[-1])
    if "missing" in found:
        line.failed = "not installed"
        return
    found.pop("modules", None)
    line.found.append({**found, "load": os.getloadavg()[0]})


def take_turns(lines: list[Line], repeats: int, options: argparse.Namespace) -> None:
    """Take all measurements in turns."""
    for turn in range(repeats):
        for line in lines:
            if not line.failed and not (line.once and turn):
                measure(line, options)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def targets(lines: list[Line]) -> list[Target]:
    """What was asked of the engine, with what was measured."""

    def of(case: str) -> list[Line]:
        return [line for line in lines if line.case == case and line.found]

    def sizes(case: str) -> list[float | None]:
        return [line.per_call("wall_s") for line in of(case) if not line.label.endswith("a million")]

    def worst(case: str) -> float | None:
        found = sizes(case)
        return max((value for value in found if value is not None), default=None)

    def growth(case: str) -> float | None:
        found = sizes(case)
        return found[-1] / found[0] if len(found) > 1 and found[0] and found[-1] else None

    def one(case: str, name: str, scale: float = 1.0) -> float | None:
        found = of(case)
        value = found[-1].median(name) if found else None
        return None if value is None else value * scale

    def cheaper(case: str) -> float | None:
        prefect, ours = of("prefect"), worst(case)
        other = prefect[-1].per_call("wall_s") if prefect else None
        return other / ours if other and ours else None

    million = {kind: [line for line in of(kind) if line.label.endswith("a million")] for kind in ("inline", "local")}
    peaks = {kind: found[0].median("peak_bytes") if found else None for kind, found in million.items()}
    return [
        Target("inline, durable, wall per call at every number of calls", worst("inline"), 60, "us"),
        Target("inline, flat: most calls beside fewest", growth("inline"), 1.25, "x"),
        Target("local cluster, durable, wall per call at every number", worst("local"), 120, "us"),
        Target("local cluster, flat: most calls beside fewest", growth("local"), 1.25, "x"),
        Target("resume, wall", one("resume", "wall_s"), 1, "s"),
        Target("start to first call above imports, inline", one("start_inline", "wall_s"), 0.5, "s"),
        Target("start to first call above imports, local cluster", one("start_local", "wall_s"), 0.5, "s"),
        *(
            Target(f"client peak at a million calls, {kind}", peak and peak / 1e6, 600, "MB")
            for kind, peak in peaks.items()
        ),
        Target("times cheaper per call than Prefect 3, inline", cheaper("inline"), 50, "x", least=True),
        Target("times cheaper per call than Prefect 3, local cluster", cheaper("local"), 50, "x", least=True),
    ]  # fmt: skip


def shown(value: float | None, digits: int = 1) -> str:
    """A figure for the table."""
    if value is None:
        return "-"
    return f"{value:,.{digits if abs(value) < 100 else 0}f}"


def notes(line: Line) -> str:
    """What else there is to say of a measurement."""
    told = [line.failed] if line.failed else []
    third = [found["first_of"]["third"] for found in line.found if "third" in found.get("first_of", {})]
    if third:
        told.append(f"first item through after {statistics.median(third):.2f} s")
    for name, text in (
        ("start_s", "its start, not counted: {:.1f} s"),
        ("imports_s", "imports, not counted: {:.2f} s"),
    ):
        value = line.median(name)
        if value is not None:
            told.append(text.format(value))
    size = line.per_call("journal_bytes")
    if size is not None and line.n >= 1000:
        told.append(f"journal {size / 1e6:,.0f} B per call")
    if line.case in ("prefect", "luigi") and line.found:
        told.append("CPU of the client only" if line.case == "prefect" else "a file per call")
    return "; ".join(told)


def rows(lines: list[Line]) -> Iterator[tuple[str, ...]]:
    """The table."""
    floors = [line.per_call("cpu_s") for line in lines if line.case == "floor"]
    floor = floors[0] if floors else None
    yield "", "calls", "wall s", "wall us/call", "CPU us/call", "CPU x floor", "peak MB", ""
    for line in lines:
        cpu, peak = line.per_call("cpu_s"), line.median("peak_bytes")
        yield (
            line.label,
            f"{line.n:,}",
            shown(line.median("wall_s"), 2),
            shown(line.per_call("wall_s")),
            shown(cpu),
            shown(cpu / floor if cpu and floor else None),
            shown(peak / 1e6 if peak else None),
            notes(line),
        )


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Lines of text, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    last = len(widths) - 1
    left: Callable[[int], bool] = lambda column: column in (0, last)  # noqa: E731
    return [
        "  ".join(
            cell.ljust(width) if left(at) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def disk(folder: str) -> str:
    """Kind of the file system that a folder is on, where that can be told."""
    found, longest = "unknown", -1
    mounts = Path("/proc/mounts")
    for mount in mounts.read_text().splitlines() if mounts.exists() else []:
        _, place, kind, *_ = mount.split()
        if os.path.commonpath([place, folder]) == place and len(place) > longest:
            found, longest = kind, len(place)
    return found


def parsed(words: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers: Callable[[str], list[int]] = lambda text: sorted(int(part) for part in text.split(","))  # noqa: E731
    parser.add_argument(
        "--calls", type=numbers, default=[1000, 10_000, 100_000], metavar="N,N,...", help="numbers of calls"
    )
    parser.add_argument("--items", type=int, default=2000, metavar="N", help="items of the mapped pipeline")
    parser.add_argument(
        "--million", type=int, default=1_000_000, metavar="N", help="calls for the peak memory; 0 leaves it out"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="turns; what is long is taken in the first only"
    )
    parser.add_argument(
        "--limit", type=float, default=120, metavar="S", help="time limit of one measurement in seconds"
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[""],
        metavar="TEXT,...",
        help="those with one of these in their name",
    )
    parser.add_argument(
        "--folder", metavar="DIR", help="where journals are written, on a disk (default: the temporary folder)"
    )
    parser.add_argument(
        "--peers", default=os.environ.get("SWATH_BENCH_PEERS", sys.executable), metavar="PYTHON",
        help="interpreter that has Prefect 3 and Luigi (default: $SWATH_BENCH_PEERS or this one)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write every measurement there too")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Measure, print the table and the targets. Exit code 1 when a measurement of our own failed."""
    options = parsed(words)
    folder = str(Path(options.folder or tempfile.gettempdir()).resolve())
    kind, began, load = disk(folder), time.time(), os.getloadavg()[0]
    lines = plan(options)
    take_turns(lines, options.repeats, options)
    found = targets(lines)
    busy = [measured["load"] for line in lines for measured in line.found]
    ram = ": in memory, so the journal costs less here than on a disk" if kind in RAM_DISKS else ""
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, journal on {kind}{ram}; {options.repeats} turns,"
    )
    print(f"load {load:.1f} before, {statistics.median(busy) if busy else load:.1f} in the median of all measurements")
    print(
        "medians; wall and CPU of calls only, CPU of client and workers together; peak of the client's process",
        end="\n\n",
    )
    print("\n".join(aligned(list(rows(lines)))), end="\n\n")
    table = [("target", "measured", "asked", "")]
    for target in found:
        sign = ">=" if target.least else "<="
        table.append(
            (
                target.text,
                f"{shown(target.value, 2)} {target.unit}",
                f"{sign} {target.bound:g} {target.unit}",
                target.verdict,
            )
        )
    print("\n".join(aligned(table)))
    if options.json:
        document = {
            "began": began, "seconds": time.time() - began, "python": platform.python_version(), "cores": os.cpu_count(),
            "file_system": kind, "load_before": load, "measurements": [asdict(line) for line in lines],
            "targets": [asdict(target) | {"verdict": target.verdict} for target in found],
        }  # fmt: skip
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    ours = [line for line in lines if line.failed.startswith("failed") and line.script != "peers"]
    for line in ours:
        print(f"{line.label}, {line.n:,} calls: {line.failed}", file=sys.stderr)
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
