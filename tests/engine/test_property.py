"""Random graphs give what a simple interpreter says, whatever fails and whenever the process is killed."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from swath.engine.journal import Journal
from swath.engine.store import ResultStore
from swath.graph.ref import SKIPPED
from tests.engine.killable import Ended, run
from tests.engine.random_graphs import digest, log_lines, plain, prepare, random_plan
from tests.engine.reference import FAILED, Meaning, Unclear, meaning
from tests.process import ROOT

NAP_S = 0.003
"""That each call takes at least where runs are killed."""
BUDGET_S = 0.1
"""So long a batch of this process may be; what it made is journalled when it ends."""


def check(ended: Ended, expected: Meaning) -> None:
    """The engine gave what the interpreter says."""
    if expected.value is FAILED:
        assert ended.value is None
        assert set(ended.places) <= set(expected.set_aside)  # without a result there was nothing to go on for
        return
    assert sorted(ended.places) == sorted(expected.set_aside)
    if expected.value is SKIPPED:
        assert ended.value in (None, SKIPPED)
    else:
        assert ended.value == plain(expected.value)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(st.randoms(use_true_random=False))
def test_a_random_graph_gives_what_the_simple_interpreter_says_and_makes_no_call_twice(chance: random.Random) -> None:
    plan = random_plan(chance)
    note(repr(plan))
    try:
        expected = meaning(plan)
    except Unclear:
        assume(False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        check(run(plan, folder), expected)
        made = list(log_lines(folder))
        check(run(plan, folder, run="again"), expected)
        lines = list(log_lines(folder))
        equal = of_several_calls(folder)
        assert [line for line, count in Counter(lines).items() if count > 1 and line not in equal] == []
        if expected.value is not FAILED:  # without a result, what did not matter any more was left
            assert lines == made


class Killable:
    """The process whose forks run plans."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.killable"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(self, seed: int, folder: Path, kill_after_s: float | None) -> bool:
        """Run or go on with the plan of a seed, and kill that after so many seconds. Returns whether it came to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"seed": seed, "folder": str(folder), "nap_s": NAP_S}) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.kill(pid, signal.SIGKILL)
        status = int(self._process.stdout.readline())
        assert status in (0, signal.SIGKILL), f"the run of seed {seed} ended with status {status}"
        return (folder / "ended").exists()

    def end(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def killable() -> Iterator[Killable]:
    process = Killable()
    yield process
    process.end()


def recorded(folder: Path) -> Counter[str]:
    """The results that the journal has, as the log of calls names them, with the number of calls that have each."""
    file = folder / "state" / "journal.sqlite"
    if not file.exists():
        return Counter()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = ResultStore(str(folder / "state" / "results"))
    with Journal.open(folder / "state") as journal:
        keys = [row[0] for row in journal.execute("SELECT key FROM results")]
        return Counter(str(digest(plain(store.get(stored)))) for stored in journal.results(keys).values())


def of_several_calls(folder: Path) -> set[str]:
    """Results that several calls gave, which the log does not tell apart: a list and an empty map are both [] there."""
    return {line for line, calls in recorded(folder).items() if calls > 1}


def disturbed(killable: Killable, seed: int, folder: Path, kills: int) -> int:
    """Run the plan of a seed with kills at random moments until it is done. Returns how many there were."""
    chance = random.Random(seed)
    plan = random_plan(chance)
    expected = meaning(plan)
    prepare(folder)
    killed = 0
    known: set[str] = set()
    before: Counter[str] = Counter()
    redone: set[str] = set()
    while not killable.run(seed, folder, chance.uniform(0.0, 0.4) if killed < kills else None):
        killed += 1
        lines = list(log_lines(folder))
        now = set(recorded(folder))
        assert known <= now, f"seed {seed}: a record is gone"
        lost = [line for line in lines if line not in now]
        # A batch is journalled when it ends: what it held by then is lost, at most as many calls as fit into its time.
        assert len(lost) - len(set(lost)) <= killed * BUDGET_S / NAP_S + killed, f"seed {seed}"
        counts = Counter(lines)
        redone |= {line for line in known if counts[line] > before[line]}
        known, before = now, counts
    ended = Ended(*pickle.loads((folder / "ended").read_bytes()))
    check(ended, expected)
    counts = Counter(log_lines(folder))
    redone |= {line for line in known if counts[line] > before[line]}
    assert redone - of_several_calls(folder) == set(), f"seed {seed}: made again after it was recorded"
    assert sum(counts.values()) - len(counts) <= killed * (BUDGET_S / NAP_S + 1), f"seed {seed}"
    assert set(recorded(folder)) >= known
    return killed


def clear(seed: int) -> bool:
    try:
        meaning(random_plan(random.Random(seed)))
    except Unclear:
        return False
    return True


def test_a_run_killed_at_random_moments_gives_the_same_and_makes_no_recorded_call_again(
    killable: Killable, tmp_path: Path
) -> None:
    first = int(os.environ.get("SWATH_TEST_SEED", random.SystemRandom().randrange(10**6)))
    wanted = int(os.environ.get("SWATH_TEST_KILLS", "10"))
    print(f"SWATH_TEST_SEED={first} makes these rounds again")
    killed = 0
    for seed in range(first, first + 20 * wanted):  # a small plan may be done before it is killed
        if killed < wanted and clear(seed):
            killed += disturbed(killable, seed, tmp_path / str(seed), kills=4)
    assert killed >= wanted
