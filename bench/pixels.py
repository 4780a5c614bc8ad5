"""What a map costs: the pixel path beside its floors, and beside what people use today.

Run: python bench/pixels.py [--help]. The same synthetic images and models for all, each measurement a process of its own, one
at a time. Processor time is that of all processes; what a run costs on a very small image is taken off, as starting.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import Target, aligned, shown

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).parent / "cases"
MODELS = ("micro", "tiny", "unet")
PEERS = {"loop": "rasterio loop", "xarray": "rioxarray + dask", "torchgeo": "torchgeo"}
OURS = "pipe run"
STEPS = ("read", "pre", "forward", "post", "encode")
SMALL = 1024
"""Edge in pixels of the image that tells what starting costs; it has a region for each of four workers."""
ABOVE_FLOORS = {"micro": 1.33, "tiny": 1.15, "unet": 1.12}
"""How much the pipeline may cost, in floors."""
BELOW_PEERS = {"micro": 5.0, "tiny": 4.0, "unet": 3.5}
"""How many times as much the best peer should cost."""
AT = 8192
"""The size in pixels that the targets are about."""
REGION = 128
"""Edge of the regions of the run of very many regions."""


@dataclass(frozen=True)
class Found:
    """One measurement of a whole run."""

    who: str
    """A key of PEERS, or OURS."""
    model: str
    size: int
    """Edge of the image, in pixels."""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    """Of all processes at one time, shared pages counted once."""
    client_bytes: int = 0
    """Peak of the first process."""
    worker_bytes: int = 0
    """Peak of the largest other process; shared pages are counted for each."""
    foreign_load: float = 0.0
    """How many cores were busy with something else, on average."""
    failed: str = ""

    @property
    def mpx(self) -> float:
        """Million pixels of the map."""
        return self.size * self.size / 1e6


class Bench:
    """What is measured, and what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = Path(options.folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.floors: dict[str, list[dict[str, Any]]] = {}
        self.found: list[Found] = []

    def prepare(self) -> None:
        """Make images and models that are not there yet."""
        sizes = sorted({SMALL, 2048, *self.options.sizes})
        words = "import sys, pathlib, pixels_data, pixels_models\nfolder = pathlib.Path(sys.argv[1])\n"
        words += f"for size in {sizes}: pixels_data.image(folder, size)\n"
        words += f"for name in {sorted(set(self.options.models))}: pixels_models.write(name, folder, pixels_data.image(folder, 2048))\n"
        words += "pixels_models.write('constant', folder, folder)\n"
        subprocess.run([sys.executable, "-c", words, str(self.folder)], check=True, env=environment())

    def run(self) -> None:
        """All measurements, one at a time."""
        wanted = self.options.only
        for _ in range(self.options.repeats):
            for model in self.options.models:
                if "floors" in wanted:
                    self.measure_floors(model)
                for size in (SMALL, *self.options.sizes):
                    if "pipeline" in wanted:
                        self.note(self.pipeline(model, size))
                    for runtime in self.options.runtimes:
                        self.note(self.pipeline(model, size, runtime))
                for kind in PEERS if "peers" in wanted else ():
                    for size in (SMALL, *(size for size in self.options.sizes if size <= self.options.peers_up_to)):
                        if not self.failed(kind, model):
                            self.note(self.peer(kind, model, size))
        if self.options.regions:
            self.note(self.regions(self.options.regions))

    def note(self, found: Found) -> None:
        """Keep a measurement, and say that there is one more."""
        self.found.append(found)
        cost = found.failed or f"{found.cpu_s:.1f} CPU s, {found.wall_s:.1f} s"
        print(f"{found.who}, {found.model}, {found.size}: {cost}", file=sys.stderr, flush=True)

    def measure_floors(self, model: str) -> None:
        """Each step alone, by as many processes at once as there are workers: cores share caches and clocks."""
        image = self.image(min(max(self.options.sizes), AT))
        words = [sys.executable, str(CASES / "pixels_floors.py"), model, str(self.folder), str(image)]
        running = [
            subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(self.options.workers)
        ]
        for process in running:
            said, complaint = process.communicate()
            if process.returncode:
                raise SystemExit(f"the floors of {model} failed: {complaint.strip()[-2000:]}")
            found = json.loads(said.splitlines()[-1])
            self.floors.setdefault(model, []).append(found)
            print(f"floors, {model}: {sum(found['floors_ms'].values()):.0f} ms/Mpx", file=sys.stderr, flush=True)

    def pipeline(self, model: str, size: int, runtime: str = "") -> Found:
        """`pipe run` in a fresh project; with a runtime and a precision (`openvino/bfloat16`) where given."""
        name, _, precision = runtime.partition("/")
        settings = {"runtime": name, "precision": precision or "float32"} if runtime else {}
        spec = {"imagery": self.imagery(self.image(size)), "model": self.model(model) | settings, "output": bare("out")}
        who = f"{OURS}, {runtime}" if runtime else OURS
        cluster = f"kind: {self.options.cluster}, workers: {self.options.workers}"
        return self.piped(Found(who, model, size), spec, cluster)

    def regions(self, count: int) -> Found:
        """`pipe run` with very many regions, of an image without pixels and a model that does nothing."""
        size = REGION * math.isqrt(count - 1) + REGION
        words = "import sys, pathlib, pixels_data\npixels_data.sparse(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
        subprocess.run([sys.executable, "-c", words, str(self.folder), str(size)], check=True, env=environment())
        spec = {
            "imagery": self.imagery(self.folder / f"sparse-{size}.tif"), "model": self.model("constant"),
            "output": bare("out") | {"blocksize": REGION}, "region": REGION,
        }  # fmt: skip
        kind = f"kind: local, workers: {self.options.workers}" if self.options.regions_on == "local" else "kind: inline"
        return self.piped(Found(OURS, "constant", size), spec, kind)

    def piped(self, found: Found, spec: dict[str, Any], cluster: str) -> Found:
        """Run a spec in a project of its own."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            project = Path(folder)
            (project / "swath.yaml").write_text("")
            text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in spec.items())
            (project / "bench.yaml").write_text(f"pipeline: predict\ncluster: {{{cluster}}}\n{text}\n")
            words = [sys.executable, "-m", "swath.cli", "run", "bench.yaml", "--fresh"]
            return self.metered(found, words, project)

    def peer(self, kind: str, model: str, size: int) -> Found:
        """The same map by something else."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            words = [self.options.peers, str(CASES / "pixels_peers.py"), kind, model, str(self.folder)]
            words += [str(self.image(size)), str(Path(folder) / "map.tif")]
            return self.metered(Found(kind, model, size), words, Path(folder))

    def metered(self, found: Found, words: list[str], folder: Path) -> Found:
        """Run a command and fill in what it cost."""
        out = folder / "cost.json"
        meter = [sys.executable, str(CASES / "pixels_meter.py"), str(out), *words]
        done = subprocess.run(
            meter, cwd=folder, env=environment() | {"SWATH_HOME": str(folder / "home")}, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        values = asdict(found)
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        if done.returncode or not out.exists():
            return Found(**values | {"failed": f"failed: {said[-1][:200]}"})
        last = done.stdout.strip().rpartition("\n")[2]
        if last.startswith('{"missing"'):
            return Found(**values | {"failed": f"{json.loads(last)['missing']} is not installed"})
        cost = json.loads(out.read_text())
        first, *others = [process["peak_bytes"] for process in cost["processes"]] or [0]
        measured = {name: cost[name] for name in ("cpu_s", "wall_s", "peak_bytes")}
        measured |= {"client_bytes": first, "worker_bytes": max(others, default=0)}
        return Found(**values | measured | {"foreign_load": (cost["foreign_s"] or 0.0) / cost["wall_s"]})

    def image(self, size: int) -> Path:
        """Where an image is."""
        return self.folder / f"textured-{size}.tif"

    def imagery(self, path: Path) -> dict[str, Any]:
        """An image, for a spec."""
        return {"source": "files", "paths": [str(path)], "names": ["blue", "green", "red", "nir"]}

    def model(self, name: str) -> dict[str, str]:
        """A model, for a spec."""
        return {"path": str(self.folder / f"{name}.safetensors"), "factory": f"pixels_models:{name}"}

    def failed(self, who: str, model: str) -> bool:
        """Whether a measurement did not work, so that larger ones need not be tried."""
        return any(found.failed for found in self.of(who, model))

    def of(self, who: str, model: str, size: int | None = None) -> list[Found]:
        """Measurements of one kind."""
        return [
            found for found in self.found
            if found.who == who and found.model == model and size in (None, found.size)
        ]  # fmt: skip

    def median(self, name: str, who: str, model: str, size: int) -> float | None:
        """Of one figure over all turns."""
        values = [float(getattr(found, name)) for found in self.of(who, model, size) if not found.failed]
        return statistics.median(values) if values else None

    def beyond(self, name: str, who: str, model: str, size: int) -> float | None:
        """A figure in seconds, for each Mpx that is more than in the small image."""
        least, most = self.median(name, who, model, SMALL), self.median(name, who, model, size)
        if least is None or most is None or size <= SMALL:
            return None
        return (most - least) / ((size * size - SMALL * SMALL) / 1e6)

    def cpu_ms(self, who: str, model: str, size: int) -> float | None:
        """CPU milliseconds per Mpx, starting taken off."""
        seconds = self.beyond("cpu_s", who, model, size)
        return None if seconds is None else 1e3 * seconds

    def floor_ms(self, model: str, step: str | None = None) -> float | None:
        """The floor of one step, or of all together."""
        turns = self.floors.get(model)
        if not turns:
            return None
        steps = STEPS if step is None else (step,)
        return sum(statistics.median(turn["floors_ms"][name] for turn in turns) for name in steps)


def environment() -> dict[str, str]:
    """For all that is measured: one thread is the default of no peer, so nothing is said of threads."""
    path = os.pathsep.join([str(ROOT), str(CASES), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "SWATH_TRUST": "1"}


def bare(folder: str) -> dict[str, Any]:
    """An output that is a map and nothing else."""
    return {"to": folder, "vectors": False, "preview": False}


def ratio(above: float | None, below: float | None) -> float | None:
    """One figure in units of another."""
    return above / below if above is not None and below else None


def targets(bench: Bench) -> list[Target]:
    """What was asked, with what was measured."""
    sizes, cores = bench.options.sizes, bench.options.workers
    at = AT if AT in sizes else max(sizes)
    asked = []
    for model in bench.options.models:
        ours, floor = bench.cpu_ms(OURS, model, at), bench.floor_ms(model)
        asked.append(Target(f"{model}, {at}: CPU in floors", ratio(ours, floor), ABOVE_FLOORS[model], "x"))
    for model in bench.options.models:
        costs = [cost for kind in PEERS if (cost := bench.cpu_ms(kind, model, at)) is not None]
        least = ratio(min(costs, default=None), bench.cpu_ms(OURS, model, at))
        asked.append(Target(f"{model}, {at}: CPU of the best peer in ours", least, BELOW_PEERS[model], "x", least=True))
    for model in bench.options.models:
        cpu = bench.beyond("cpu_s", OURS, model, at)
        wall = ratio(bench.beyond("wall_s", OURS, model, at), None if cpu is None else cpu / cores)
        asked.append(Target(f"{model}, {at}: wall in CPU seconds / {cores} cores", wall, 1.10, "x"))
    for model in bench.options.models:
        least, most = (bench.median("peak_bytes", OURS, model, size) for size in (4096, 16384))
        asked.append(Target(f"{model}: peak memory at 16384 in that at 4096", ratio(most, least), 1.15, "x"))
        costs = [cost for size in sizes if size >= 4096 and (cost := bench.cpu_ms(OURS, model, size)) is not None]
        flat = max(costs) / min(costs) if 4096 in sizes and 16384 in sizes and len(costs) > 1 else None
        asked.append(Target(f"{model}: CPU per Mpx from 4096 to 16384, most in least", flat, 1.10, "x"))
    peaks = [found.client_bytes / 1e6 for found in bench.found if found.model == "constant" and not found.failed]
    text = f"{bench.options.regions or 100_000:,} regions: peak memory of the client"
    asked.append(Target(text, peaks[0] if peaks else None, 400, "MB"))
    return asked


def floor_rows(bench: Bench) -> Iterator[tuple[str, ...]]:
    """The floors."""
    yield ("floors, CPU ms/Mpx", *STEPS, "sum", "best tile")
    for model, turns in bench.floors.items():
        yield (
            model, *(shown(bench.floor_ms(model, step)) for step in STEPS), shown(bench.floor_ms(model)),
            str(turns[-1]["tile"]),
        )  # fmt: skip


def rows(bench: Bench) -> Iterator[tuple[str, ...]]:
    """The runs."""
    yield (
        "", "model", "size", "CPU ms/Mpx", "with start", "x floors", "wall s", "less start", "peak MB", "worker MB",
        "client MB", "foreign cores", "",
    )  # fmt: skip
    seen = dict.fromkeys((found.model, found.size, found.who) for found in bench.found)
    order = sorted(seen, key=lambda key: ((*MODELS, "constant").index(key[0]), key[1], key[2] != OURS))
    for model, size, who in order:
        cpu, wall = (bench.median(name, who, model, size) for name in ("cpu_s", "wall_s"))
        beyond = bench.beyond("wall_s", who, model, size)
        mpx = size * size / 1e6
        memory = [bench.median(f"{name}_bytes", who, model, size) for name in ("peak", "worker", "client")]
        yield (
            PEERS.get(who, who),
            model,
            str(size),
            shown(bench.cpu_ms(who, model, size)),
            shown(None if cpu is None else 1e3 * cpu / mpx),
            shown(ratio(bench.cpu_ms(who, model, size), bench.floor_ms(model)), 2),
            shown(wall),
            shown(None if beyond is None else beyond * (mpx - SMALL * SMALL / 1e6)),
            *(shown(None if value is None else value / 1e6, 0) for value in memory),
            shown(bench.median("foreign_load", who, model, size), 2),
            next((found.failed for found in bench.of(who, model, size) if found.failed), ""),
        )


def target_rows(asked: list[Target]) -> Iterator[tuple[str, ...]]:
    """What was asked, beside what was measured."""
    yield "target", "measured", "asked", ""
    for target in asked:
        sign = ">=" if target.least else "<="
        measured = f"{shown(target.value, 2)} {target.unit}"
        yield target.text, measured, f"{sign} {target.bound:g} {target.unit}", target.verdict


def parsed(words: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers: Callable[[str], list[int]] = lambda text: sorted(int(part) for part in text.split(","))  # noqa: E731
    names: Callable[[str], list[str]] = lambda text: text.split(",")  # noqa: E731
    option = parser.add_argument
    option("--sizes", type=numbers, default=[2048, 4096], metavar="N,N,...", help="edges of the images in pixels")
    option("--models", type=names, default=list(MODELS), metavar="NAME,...", help="of micro, tiny, unet")
    option(
        "--runtimes",
        type=names,
        default=[],
        metavar="NAME,...",
        help="more rows, such as torch,openvino,openvino/bfloat16",
    )
    option("--only", type=names, default=["floors", "pipeline", "peers"], metavar="PART,...",
           help="of floors, pipeline, peers")  # fmt: skip
    option("--peers", default=os.environ.get("SWATH_BENCH_PEERS", sys.executable), metavar="PYTHON",
           help="interpreter that has torch, rasterio, rioxarray, dask and torchgeo (default: $SWATH_BENCH_PEERS or "
           "this one)")  # fmt: skip
    option("--peers-up-to", type=int, default=AT, metavar="N", help="the largest image that peers are given")
    option("--regions", type=int, default=0, metavar="N", help="also a run of so many regions, such as 100000")
    option("--regions-on", choices=("inline", "local"), default="local", help="its cluster")
    option(
        "--cluster",
        choices=("local", "auto"),
        default="local",
        help="of `pipe run`; auto shows what a whole small run costs",
    )
    option("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="of the local cluster")
    option("--repeats", type=int, default=1, metavar="N", help="turns; the table has medians")
    option("--folder", default=str(ROOT / "build" / "bench"), metavar="DIR", help="where images are kept")
    option("--json", metavar="FILE", help="write every measurement there too")
    found = parser.parse_args(words)
    for given, known in ((found.models, MODELS), (found.only, ("floors", "pipeline", "peers"))):
        if unknown := set(given) - set(known) - {""}:
            parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
    if any(size <= SMALL for size in found.sizes):
        parser.error(f"sizes have to be larger than {SMALL}, the image that tells what starting costs")
    return found


def main(words: list[str]) -> int:
    """Measure, print the tables. Exit code 1 when a measurement of our own failed."""
    options = parsed(words)
    bench, began, load = Bench(options), time.time(), os.getloadavg()[0]
    bench.prepare()
    bench.run()
    asked = targets(bench)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {options.workers} workers, {options.repeats} turns"
    )
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after; CPU of all processes, less that of a {SMALL} image")
    for table in (floor_rows(bench), rows(bench), target_rows(asked)):
        print("\n" + "\n".join(aligned(list(table))))
    if options.json:
        document = {
            "began": began, "seconds": time.time() - began, "python": platform.python_version(), "cores": os.cpu_count(),
            "workers": options.workers, "load_before": load, "floors": bench.floors,
            "measurements": [asdict(found) for found in bench.found],
            "targets": [asdict(target) | {"verdict": target.verdict} for target in asked],
        }  # fmt: skip
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(found.failed and found.who == OURS for found in bench.found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
