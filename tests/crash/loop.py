"""The crash-test loop: real runs are killed at random moments and resumed, until each has made what an undisturbed one makes.

`make crashtest` makes 200 kills. A line tells each; the seed of a round, such as 421/7, makes the same choices again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from swath.runner.runner import DAMAGE_ATTEMPTS
from tests.crash.damage import damage_results
from tests.crash.projects import Project, chain, predict
from tests.faults.projects import Mark, check_journal, hashes
from tests.process import Pipe

CLIENT_CODES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {143, -signal.SIGTERM},
    signal.SIGINT: {130, -signal.SIGINT},
}
"""Of a client that was signalled; negative before it listens. One that was done already ends with 0."""
IN_FLIGHT = {"chain inline": 8, "chain local": 70}
"""Calls that may be lost by one kill: what the batches on their way hold by their time, with some to spare."""
MOST_KILLS = 4
"""In one round."""
PATIENCE_S = 90
"""At least; on a busy machine more, by what an undisturbed run took."""


class Wrong(Exception):
    """Something that must hold does not."""


@dataclass
class Undisturbed:
    """What a run gives when nobody disturbs it."""

    files: dict[str, str]
    seconds: float


@dataclass
class Tally:
    """What the loop has done."""

    wanted: int
    kills: int = 0
    rounds: int = 0
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str, kills: int = 0) -> None:
        with self.lock:
            self.kills += kills
            print(f"{self.kills:4} {text}" if kills else f"     {text}", flush=True)


def notes(pipe: Pipe) -> Counter[str]:
    """The calls that were really made, and how often."""
    file = pipe.folder / "notes"
    return Counter(file.read_text().splitlines() if file.exists() else ())


def recorded(pipe: Pipe) -> set[str]:
    """The calls that the journal has with their results, as the notes name them."""
    file = pipe.folder / ".swath/journal.sqlite"
    if not file.exists():
        return set()
    with closing(sqlite3.connect(file)) as connection:
        try:
            rows = connection.execute(
                "SELECT node, item FROM calls JOIN results USING (key) WHERE state IN ('done', 'reused')"
            ).fetchall()
        except sqlite3.OperationalError:  # no tables yet
            return set()
    return {node if item < 0 else f"{node} {item}" for node, item in rows}


def begun(pipe: Pipe) -> bool:
    """Whether the journal knows a run."""
    file = pipe.folder / ".swath/journal.sqlite"
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.OperationalError:
            return False


def not_begun(err: str) -> bool:
    """Whether a process was stopped before any of swath was imported."""
    return "Fatal Python error: init_import_site" in err or ("KeyboardInterrupt" in err and "/cli/" not in err)


class Round:
    """One run, with its kills, until it is done. damage: also damage stored results before each resume."""

    def __init__(
        self, seed: str, project: Project, expected: Undisturbed, folder: Path, tally: Tally, *, damage: bool = False
    ) -> None:
        self.seed = seed
        self.project = project
        self.expected = expected
        self.tally = tally
        self.pipe = Pipe(folder)
        self.spec = project.write(folder)
        self.chance = random.Random(seed)
        self.chance.random()  # the first one chose the project
        self.mark = Mark()
        self.known: set[str] = set()
        self.before: Counter[str] = Counter()
        self.sessions = 0
        self.damaged: set[str] | None = set() if damage else None
        """Calls whose results were damaged, as the notes name them; None when none are to be."""

    def go(self) -> None:
        """Kill, resume, and compare. Raises Wrong."""
        for _ in range(self.chance.choice((1, 1, 1, 2, 2, 3, MOST_KILLS))):
            if self.session(kill=True):
                break
        else:
            if not self.session(kill=False):
                raise Wrong("it did not come to its end although nobody disturbed it")
        self.compare()

    def session(self, *, kill: bool) -> bool:
        """Run or resume, and maybe kill. Returns whether the run came to its end."""
        arguments = ("resume", "last") if begun(self.pipe) else ("run", self.spec)
        if self.damaged is not None and (calls := damage_results(self.pipe, self.chance)):
            self.damaged |= calls
            self.tally.say(f"{self.seed} {self.project.name}: results damaged of {', '.join(sorted(calls))}")
        process = self.pipe.start(*arguments, env=self.mark.env)
        told = "undisturbed"
        allowed = {0}
        try:
            if kill:
                told, allowed = self.kill(process)
            _, err = process.communicate(timeout=max(PATIENCE_S, 5 * self.expected.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            raise Wrong(f"{arguments[0]} hangs ({told})\n{process.communicate()[1][-3000:]}") from None
        self.tally.say(
            f"{self.seed} {self.project.name}: {arguments[0]}, {told}: exit {process.returncode}",
            int("before it was" not in told and kill),
        )
        if process.returncode == 5 and "did not come up" in err and told.startswith("worker"):
            allowed = {5}  # a cluster that loses a worker while it starts: the run says so, and can be taken up again
        if process.returncode == 1 and told.startswith("SIG") and not_begun(err):
            allowed = {1}  # Python itself was still coming up
        if process.returncode not in allowed:
            raise Wrong(f"{arguments[0]} ended with {process.returncode} ({told})\n{err[-3000:]}")
        self.check()
        return process.returncode == 0

    def kill(self, process: subprocess.Popen[str]) -> tuple[str, set[int]]:
        """Signal the client or a worker at a random moment. Returns what was done, and the exit codes that may follow."""
        of_worker = self.project.local and self.chance.random() < 0.4
        delay = self.chance.uniform(0.0, 1.0) * self.expected.seconds
        busy = of_worker and self.project.name in IN_FLIGHT and self.chance.random() < 0.8
        number = self.chance.choice((signal.SIGKILL,) * 6 + (signal.SIGTERM, signal.SIGINT))
        which = self.chance.random()
        if busy:  # not while the cluster starts, but while it makes calls
            made = notes(self.pipe)
            while process.poll() is None and notes(self.pipe) == made:
                time.sleep(0.01)
            delay *= 0.3
        deadline = time.monotonic() + delay
        victim: psutil.Process | None = None
        while process.poll() is None and (time.monotonic() < deadline or (of_worker and victim is None)):
            time.sleep(0.01)
            victim = _worker(process, which) if of_worker and time.monotonic() >= deadline else None
        if process.poll() is not None:
            return "was done before it was killed", {0}
        if of_worker and victim is not None:
            try:
                victim.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                return "a worker had ended before it was killed", {0}
            return f"worker killed after {delay:.2f} s", {0}
        process.send_signal(number)
        return f"{number.name} after {delay:.2f} s", {0, *CLIENT_CODES[number]}

    def check(self) -> None:
        """What must hold whenever the processes are gone."""
        try:
            self.mark.check_none_left()
        except AssertionError:
            left = [_described(each) for each in self.mark.processes()]
            raise Wrong(f"processes are left: {left}") from None
        check_journal(self.pipe)
        made, now = notes(self.pipe), recorded(self.pipe)
        damaged = self.damaged or set()
        again = sorted(call for call in self.known - damaged if made[call] > self.before[call])
        if again:
            raise Wrong(f"made again after they were recorded: {again}")
        if not self.known <= now:
            raise Wrong(f"records are gone: {sorted(self.known - now)}")
        self.sessions += 1
        lost = sum(made.values()) - len(made)
        # A damaged result ends what is in flight, like a kill, and its call is made again.
        ends = self.sessions * (1 if self.damaged is None else DAMAGE_ATTEMPTS)
        if lost > ends * IN_FLIGHT.get(self.project.name, 0) + self.sessions * len(damaged):
            raise Wrong(f"{lost} calls were made twice in {self.sessions} sessions")
        self.known, self.before = now, made

    def compare(self) -> None:
        """The run is done: it made the same bytes, and left nothing."""
        out = self.pipe.folder / "out"
        if hashes(out / "map") != self.expected.files:
            raise Wrong("the output is not that of an undisturbed run")
        self.pipe("sweep", "--yes")
        left = [str(path.relative_to(self.pipe.folder)) for path in out.rglob(".*")]
        left += [path.name for path in (self.pipe.folder / ".swath").glob("scratch/*")]
        left += [path.name for path in out.iterdir() if path.name != "map"]
        if left:
            raise Wrong(f"files are left: {left}")


def _described(process: psutil.Process) -> str:
    """Process id and command line, for a message."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:100]}"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended since)"


def _worker(process: subprocess.Popen[str], which: float) -> psutil.Process | None:
    """One of the worker processes; None while there are none."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        found = [child for child in children if not child.children() and "forkserver" in " ".join(child.cmdline())]
    except psutil.Error:
        return None
    grown = [child for child in found if child.ppid() != process.pid]  # not the server that they are forked from
    return grown[int(which * len(grown))] if grown else None


class Loop:
    """The rounds of one seed."""

    def __init__(self, seed: int, kills: int, folder: Path, *, damage: bool = False) -> None:
        self.seed = seed
        self.damage = damage
        self.folder = folder
        self.tally = Tally(kills)
        self._expected: dict[str, Undisturbed] = {}
        self._lock = threading.Lock()

    def project(self, seed: str) -> Project:
        """What the round of a seed runs."""
        drawn = random.Random(seed).random()
        if drawn < 0.4:
            return chain("inline")
        if drawn < 0.88:
            return chain("local")
        with self._lock:
            return predict("inline" if drawn < 0.94 else "local", self.folder)

    def expected(self, project: Project) -> Undisturbed:
        """What the project gives when nobody disturbs it, found out once."""
        with self._lock:
            if project.name not in self._expected:
                folder = self.folder / project.name.replace(" ", "-")
                pipe = Pipe(folder)
                began = time.monotonic()
                pipe("run", project.write(folder))
                seconds = time.monotonic() - began
                self._expected[project.name] = Undisturbed(hashes(folder / "out/map"), seconds)
                self.tally.say(f"{project.name}: undisturbed in {seconds:.1f} s")
            return self._expected[project.name]

    def round(self, seed: str) -> None:
        """One round. What goes wrong is told, and its folder stays."""
        project = self.project(seed)
        folder = self.folder / seed.replace("/", "-")
        try:
            Round(seed, project, self.expected(project), folder, self.tally, damage=self.damage).go()
        except (Wrong, AssertionError, subprocess.SubprocessError) as error:
            self.tally.failed.append(f"round {seed}, {project.name}: {error}")
            self.tally.say(f"WRONG, round {seed}, {project.name}: {error}\n     its folder: {folder}")
        else:
            shutil.rmtree(folder)
        self.tally.rounds += 1

    def seeds(self) -> Iterator[str]:
        number = 0
        while self.tally.kills < self.tally.wanted and not self.tally.failed:
            number += 1
            yield f"{self.seed}/{number}"

    def go(self, jobs: int) -> Tally:
        """Rounds until there were kills enough, or one went wrong."""
        seeds, taking = self.seeds(), threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    seed = next(seeds, None)
                if seed is None:
                    return
                self.round(seed)

        with ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(work) for _ in range(jobs)]:
                done.result()
        return self.tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every round gave what it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.loop", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of all rounds")
    parser.add_argument("--round", default="", help="make only this one, such as 421/7")
    parser.add_argument("--damage", action="store_true", help="damage stored results between kill and resume, too")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at once")
    asked = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="swath-crash-"))
    loop = Loop(asked.seed, asked.kills, folder, damage=asked.damage)
    began = time.monotonic()
    if asked.round:
        loop.round(asked.round)
        tally = loop.tally
    else:
        print(f"seed {asked.seed}: {asked.kills} kills", flush=True)
        tally = loop.go(asked.jobs)
    print(
        f"seed {asked.seed}: {tally.kills} kills in {tally.rounds} rounds, {time.monotonic() - began:.0f} s, "
        f"{len(tally.failed)} went wrong"
    )
    if not tally.failed:
        shutil.rmtree(folder)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
