"""A small pipeline that really maps, keeps results in the store and publishes, for faults to be made in; and what is left."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from swath.cluster.teardown import sweep
from swath.engine.journal import Journal
from tests.process import Pipe

TILES = '''
import ctypes
import hashlib
import os
import signal
import time
from pathlib import Path

from swath import Output, Spec, pipeline, task
from swath.graph.call_context import current_run


class Tiles(Spec):
    output: Output
    n: int = 6
    seed: int = 0
    seconds: float = 0.0
    """That each tile takes."""
    hold: str = ""
    """While this file is there, tiles after the second wait."""
    stall: str = ""
    """While this file is there, the third tile sits in C code that hears nothing."""
    fill: str = ""
    """A folder whose disk the third tile fills up."""
    flaky: str = ""
    """A folder in which the second tile notes that it has failed once."""


@task(retries=2, retry_delay_s=0.1)
def tile(number, *, seed, seconds, hold, stall, fill, flaky):
    print("tile", number)
    if flaky and number == 1 and not (Path(flaky) / "failed").exists():
        (Path(flaky) / "failed").touch()
        raise RuntimeError("this tile fails once")
    time.sleep(seconds)
    while number > 1 and hold and Path(hold).exists():
        time.sleep(0.02)
    if number == 2 and stall and Path(stall).exists():
        sleep = (ctypes.PyDLL if Path(stall).read_text() == "hold" else ctypes.CDLL)(None).sleep
        Path(stall).write_text("begun")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        sleep(60)  # of PyDLL: it holds the interpreter too
    if number == 2 and fill:
        with (Path(fill) / "junk").open("wb", buffering=0) as junk:
            try:
                while True:
                    junk.write(bytes(65536))
            except OSError:
                pass
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return digest * 640  # 20 kB: kept in the store


@task(on_client=True)
def publish(tiles, *, output):
    from swath.storage.publication import Staging, is_intact
    from swath.storage.durable_write import writing

    with Staging(output.to, current_run()) as staging:
        for number, data in enumerate(tiles):
            path = staging.folder / f"tile{number}.bin"
            with writing(path):
                path.write_bytes(data * 10)
        (staging.folder / "item.json").write_text("{}")
        return staging.publish({})


@pipeline
def tiles(spec: Tiles):
    """Make tiles and publish them."""
    made = tile.map(
        range(spec.n), seed=spec.seed, seconds=spec.seconds, hold=spec.hold, stall=spec.stall, fill=spec.fill,
        flaky=spec.flaky,
    )  # fmt: skip
    return publish(made, output=spec.output)
'''


def tiles(pipe: Pipe, name: str = "tiles", **fields: object) -> Path:
    """Write the pipeline and a spec of it."""
    (pipe.folder / "pipelines").mkdir(exist_ok=True)
    (pipe.folder / "pipelines" / "tiles.py").write_text(TILES)
    return pipe.spec(name, **{"pipeline": "tiles", "output": "out/map", **fields})


def held(pipe: Pipe) -> Path:
    """A file for `hold`: a run waits in its middle until it is removed."""
    file = pipe.folder / "hold"
    file.touch()
    return file


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def finished(pipe: Pipe, node: str = "tile") -> int:
    """How many calls of a node the journal has as done."""
    file = pipe.folder / ".swath/journal.sqlite"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=5)) as connection:
        try:
            sql = "SELECT count(*) FROM calls WHERE node = ? AND state = 'done'"
            return int(connection.execute(sql, (node,)).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def hashes(folder: Path) -> dict[str, str]:
    """Of all that was published; hidden files too, of which there should be none. The report tells times, so not of that."""
    files = [path for path in folder.iterdir() if not path.name.startswith("report.")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_journal(pipe: Pipe) -> None:
    file = pipe.folder / ".swath/journal.sqlite"
    if file.exists():
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_nothing_left(pipe: Pipe) -> None:
    """`pipe sweep` would find nothing, and removes what workers of killed runs had on the disk."""
    with Journal.open(pipe.folder / ".swath") as journal:
        assert sweep.find_leftovers(journal).leftovers == []
    assert list((pipe.folder / ".swath").glob("scratch/*")) == []
    assert list((pipe.folder / "out").glob(".*")) == []


class Mark:
    """Tells the processes that one test started, by a variable that they hand on to their children."""

    def __init__(self) -> None:
        self.value = uuid.uuid4().hex
        self.env = {"SWATH_TEST_MARK": self.value}

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("SWATH_TEST_MARK") == self.value:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        """End what a test that failed has left."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def check_none_left(self, seconds: float = 60) -> None:
        wait_for(lambda: not self.processes(), seconds)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own at a folder. Only root can mount one; the test is skipped, and says so, where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True
    ).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a folder's disk up to so many bytes."""
    junk = folder / "junk"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with junk.open("wb", buffering=0) as file:
        try:
            for _ in range(max(0, (free - leave)) // 4096 + (0 if leave else 1)):
                file.write(bytes(4096))
        except OSError:
            pass
    return junk
