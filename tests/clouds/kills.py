"""The crash-test loop of clusters in a cloud: clients are killed at random moments, and no machine may be left.

`make crashtest-clouds` makes 200 kills on each simulated cloud. Each prints a line: when the client was killed, how many machines there
were, and how long the guardian took until the cloud listed none. Every fifth time the guardian is killed as well: then the machines end
by themselves. At the end the runs are resumed, and have to give the same bytes as an undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from swath.engine.journal import Journal
from tests.clouds.control import Cloud, started
from tests.clouds.projects import project
from tests.faults.projects import check_journal, check_nothing_left, hashes, tiles
from tests.process import Pipe
from tests.warm import Forked

WITHIN_S = 30.0
"""A guardian has removed everything so soon after its client's end."""
ALONE_S = 8.0
"""A scheduler ends when it has had no client for so long. Machines without a guardian are gone some seconds later."""
SLOW = 3.0
"""Machines that boot beside others on few cores take longer by this factor."""


@dataclass
class KillResults:
    """Results of the loop."""

    kills: int = 0
    ended: int = 0
    """Runs that had ended before they could be killed."""
    unguarded: int = 0
    """Kills of both client and guardian."""
    machines: int = 0
    """Sum of the machines at the moment of a kill."""
    slowest_s: float = 0.0
    """Longest time until no machine was listed, with a guardian."""
    problems: list[str] = field(default_factory=list)
    """Messages."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class KilledRuns:
    """One project whose runs are killed and resumed."""

    def __init__(self, cloud: Cloud, folder: Path, seed: int) -> None:
        self._cloud = cloud
        self._random = random.Random(seed)
        self.pipe: Pipe = project(folder, cloud)
        self.pipe.env["SWATH_CLOUD_ALONE_S"] = str(ALONE_S)
        # Labels of machines begin with the run's id, and that has the spec's name.
        self._spec = tiles(self.pipe, folder.name, cluster="cloud", n=8, seconds=0.2)

    def undisturbed(self) -> float:
        """Run once to the end. Returns how long it took in seconds."""
        began = time.monotonic()
        process = self._start("run", self._spec)
        assert process.ended(300), (self.pipe.folder / "output").read_text()
        assert process.code() == 0, (self.pipe.folder / "output").read_text()
        return time.monotonic() - began

    def killed(self, whole_s: float, results: KillResults, *, unguarded: bool) -> None:
        """Start a run, or resume the last one, and kill it at a random moment."""
        again = self._unfinished()
        words = ("resume", "last") if again else ("run", "--fresh", self._spec)
        process = self._start(*words)
        # At random, but equally often in each quarter of a run; after a run that ended before, in another quarter.
        after = max(0.1, whole_s * ((results.kills + results.ended) % 4 + self._random.random()) / 4)
        if not process.ended(after):
            process.kill()
        code = process.code()
        if code != -signal.SIGKILL:
            with results.lock:
                results.ended += 1
            if code != 0:
                output = (self.pipe.folder / "output").read_text()
                results.problems.append(f"an undisturbed run ended with exit code {code}: {output[-2000:]}")
            return
        mine = self._mine()
        if unguarded:
            self._kill_guardians()
        began = time.monotonic()
        patience = WITHIN_S if not unguarded else SLOW * (ALONE_S + WITHIN_S)
        gone = self._cloud.until(lambda: not self._mine(), patience)
        took = time.monotonic() - began
        with results.lock:
            results.kills += 1
            results.unguarded += unguarded
            results.machines += len(mine)
            if not unguarded:
                results.slowest_s = max(results.slowest_s, took)
            if not gone:
                results.problems.append(
                    f"{len(self._mine())} machines were left {patience:g} s after a kill at {after:.1f} s"
                )
            what = "client and guardian" if unguarded else "client"
            print(
                f"{results.kills:4} {what} killed after {after:4.1f} s, {len(mine)} machines: gone in {took:4.1f} s",
                flush=True,
            )
        check_journal(self.pipe)

    def ended(self, expected: dict[str, str]) -> str:
        """Resume the run to its end. Returns a message; empty when nothing is wrong."""
        done = self.pipe("resume", "last", code=None, timeout=300) if self._unfinished() else None
        if done is not None and done.code:
            return f"the resumed run ended with exit code {done.code}: {done.err[-2000:]}"
        if hashes(self.pipe.folder / "out/map") != expected:
            return "the resumed run gave other bytes"
        self.pipe("sweep", "--yes", env={"SWATH_CLOUD_QUIET_S": "0.5"})
        self._cloud.until(lambda: not self._guardians(), WITHIN_S)
        check_nothing_left(self.pipe)
        return ""

    def _start(self, *words: object) -> Forked:
        """Start `pipe`; its output goes to the file `output` of the project's folder."""
        with (self.pipe.folder / "output").open("wb") as output:
            return Forked(list(map(str, words)), self.pipe.folder, self.pipe.env, output.fileno(), output.fileno())

    def _unfinished(self) -> bool:
        if not (self.pipe.folder / ".swath/journal.sqlite").exists():
            return False
        with Journal.open(self.pipe.folder / ".swath") as journal:
            runs = journal.runs()
        return bool(runs) and runs[0].status == "crashed"

    def _mine(self) -> list[str]:
        """Ids of machines of this project's runs."""
        return [each["id"] for each in self._cloud.alive() if f"-{self.pipe.folder.name}-" in each["name"]]

    def _guardians(self) -> list[int]:
        """Process ids of this project's guardians, by their command lines."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"swath.cluster.teardown.guardian" in words and str(self.pipe.folder).encode() in b" ".join(words):
                    found.append(int(entry.name))
        return found

    def _kill_guardians(self) -> None:
        for pid in self._guardians():
            os.kill(pid, signal.SIGKILL)


def loop(cloud: Cloud, kills: int, folder: Path, seed: int, side_by_side: int = 3) -> KillResults:
    """Kill clients so many times."""
    results = KillResults()
    projects = [KilledRuns(cloud, folder / f"victim{number}", seed + number) for number in range(side_by_side)]
    whole_s = projects[0].undisturbed()
    expected = hashes(projects[0].pipe.folder / "out/map")

    def work(number: int) -> None:
        project = projects[number]
        tries = 0
        while results.kills < kills and not results.problems and tries < 3 * kills:
            tries += 1
            project.killed(1.2 * whole_s, results, unguarded=tries % 5 == 0)
        wrong = project.ended(expected)
        if wrong:
            results.problems.append(wrong)

    with ThreadPoolExecutor(side_by_side) as threads:
        for future in [threads.submit(work, number) for number in range(side_by_side)]:
            future.result()
    if not cloud.empty(WITHIN_S):
        results.problems.append(f"left at the end: {cloud.names()}, {cloud.processes()} processes")
    return results


def main(words: Sequence[str]) -> int:
    """Loop over both simulated clouds, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cloud", choices=("ec2", "gce"), action="append")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(words)
    wrong = False
    for kind in options.cloud or ("ec2", "gce"):
        with tempfile.TemporaryDirectory() as folder, started(kind, Path(folder) / "cloud") as cloud:
            results = loop(cloud, options.kills, Path(folder), options.seed)
        print(
            f"{kind}: {results.kills} kills ({results.unguarded} of them of the guardian too),"
            f" {results.machines} machines at those moments, slowest removal by a guardian {results.slowest_s:.1f} s,"
            f" seed {options.seed}: " + ("; ".join(results.problems) or "no machine left, same bytes")
        )
        wrong = wrong or bool(results.problems)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
