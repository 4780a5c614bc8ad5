"""Faults 10 to 13, 15 and 16: workers that die, eat all memory, hang or are cut off, and a scheduler that dies.

What was finished is kept, a call that is at fault is named, and the output is that of an undisturbed run. The partition is a
real one: the worker lives in a network namespace of its own, and its cable is pulled. Where that is not allowed the test skips.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.projects import Mark, check_journal, check_nothing_left, finished, wait_for
from tests.faults.remote_cluster import Remote, own_network
from tests.process import Done, Pipe

IMPATIENT = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
"""Of somebody else's cluster that soon gives up a worker that is silent, and knocking at its door."""

ACTS = '''
import logging
import os
import signal
import time
import warnings
from pathlib import Path

from swath import Output, Spec, pipeline, task
from swath.graph.call_context import current_run, progress


class Acts(Spec):
    output: Output
    notes: str
    n: int = 8
    seconds: float = 0.2
    deed: str = ""
    """What the fourth call does."""
    limited: bool = False
    """Whether calls have a time limit."""


def note(notes, text):
    with Path(notes).open("a") as file:
        file.write(text + "\\n")


def once(notes, name):
    try:
        Path(notes + "." + name).open("x").close()
    except FileExistsError:
        return False
    return True


@task(retries=1, retry_delay_s=0.05)
def act(number, *, seconds, deed, notes):
    note(notes, f"+ {number} {os.getpid()}")
    if number == 3:
        if deed == "exit":
            os._exit(1)
        if deed == "eat" or (deed == "eat once" and once(notes, "eaten")):
            eaten = bytearray(os.urandom(1000)) * 1_500_000
            time.sleep(20)
        if deed == "talk and exit":
            print("the last words")
            time.sleep(1)
            os._exit(1)
        if deed == "stop once" and once(notes, "stopped"):
            time.sleep(0.2)  # the end of the call before is told by then
            os.kill(os.getpid(), signal.SIGSTOP)
    if deed == "talk":
        print("first", number)
        logging.getLogger("somebody").warning("second %d", number)
        warnings.warn(f"third {number}", UserWarning, stacklevel=1)
        progress(1, 2)
        print("fourth", number)
        print("last", number, end="")
    time.sleep(seconds)
    note(notes, f"- {number}")
    return bytes([number % 256]) * 10_000


@task(on_client=True)
def publish(made, *, output, notes):
    from swath.storage.publication import Staging
    from swath.storage.durable_write import writing

    note(notes, "publish")
    with Staging(output.to, current_run()) as staging:
        path = staging.folder / "made.bin"
        with writing(path), path.open("wb") as file:
            for data in made:
                file.write(data)
        (staging.folder / "item.json").write_text("{}")
        return staging.publish({})


@pipeline
def acts(spec: Acts):
    """Make a few things and publish them."""
    chosen = act.options(timeout_s=3.0) if spec.limited else act
    made = chosen.map(range(spec.n), seconds=spec.seconds, deed=spec.deed, notes=spec.notes)
    return publish(made, output=spec.output, notes=spec.notes)
'''


def acts(pipe: Pipe, name: str = "acts", workers: int = 2, **fields: Any) -> Path:
    """Write the pipeline and a spec of it."""
    (pipe.folder / "pipelines").mkdir(exist_ok=True)
    (pipe.folder / "pipelines" / "acts.py").write_text(ACTS)
    local = {"kind": "local", "workers": workers}
    given = {"pipeline": "acts", "output": "out/map", "cluster": local, "notes": str(pipe.folder / "notes"), **fields}
    return pipe.spec(name, **given)


def notes(pipe: Pipe) -> list[str]:
    file = pipe.folder / "notes"
    return file.read_text().splitlines() if file.exists() else []


def started_on(pipe: Pipe, number: int) -> int | None:
    """The process of the worker that began a call last."""
    found = [line.split() for line in notes(pipe) if line.startswith(f"+ {number} ")]
    return int(found[-1][2]) if found else None


def ended(pipe: Pipe) -> Counter[int]:
    """How often each call came to its end."""
    return Counter(int(line.split()[1]) for line in notes(pipe) if line.startswith("-"))


def expected(n: int, without: tuple[int, ...] = ()) -> bytes:
    """What an undisturbed run publishes."""
    return b"".join(bytes([number % 256]) * 10_000 for number in range(n) if number not in without)


def check(pipe: Pipe, mark: Mark, n: int = 8, without: tuple[int, ...] = ()) -> None:
    """What must hold after each fault."""
    mark.check_none_left()
    check_journal(pipe)
    assert (pipe.folder / "out/map/made.bin").read_bytes() == expected(n, without)
    assert notes(pipe).count("publish") == 1
    check_nothing_left(pipe)


def set_aside(done: Done) -> list[str]:
    return [event["error"] for event in done.events if event["event"] == "call_failed"]


# --- 10: a worker is killed


@pytest.mark.parametrize(
    ("n", "seconds"), [(8, 0.4), pytest.param(600, 0.004, marks=pytest.mark.slow)], ids=["single calls", "batches"]
)
def test_workers_that_are_killed_cost_their_running_calls_and_nothing_else(pipe: Pipe, n: int, seconds: float) -> None:
    mark = Mark()
    process = pipe.start("run", acts(pipe, n=n, seconds=seconds), env=mark.env)
    wait_for(lambda: len(ended(pipe)) >= 2)
    for number in (4, n - 3):
        wait_for(lambda number=number: started_on(pipe, number))
        worker = started_on(pipe, number)
        assert worker is not None
        with contextlib.suppress(ProcessLookupError):  # the worker of the second one was killed with the first
            os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert finished(pipe, "act") == n
    assert set(ended(pipe)) == set(range(n))
    if n == 8:  # each of the two has cost the call that it was at, and no other
        assert sum(ended(pipe).values()) <= n + 2
    check(pipe, mark, n)


# --- 11: a call needs more memory than its worker may have


@pytest.mark.slow
def test_a_worker_over_its_memory_limit_is_restarted_and_its_call_made_again(pipe: Pipe) -> None:
    mark = Mark()
    limited = {"kind": "local", "workers": 2, "memory_gb": 0.7}
    done = pipe("run", acts(pipe, deed="eat once", cluster=limited), "--json", env=mark.env)
    assert set_aside(done) == []
    check(pipe, mark)


@pytest.mark.slow
def test_a_call_that_always_needs_too_much_memory_is_set_aside_and_named(pipe: Pipe) -> None:
    mark = Mark()
    limited = {"kind": "local", "workers": 2, "memory_gb": 0.7}
    done = pipe("run", acts(pipe, deed="eat", cluster=limited), code=3, env=mark.env)
    assert "act[3] failed for good: the call killed each worker that tried it" in done.err
    assert "memory" in done.err
    check(pipe, mark, without=(3,))


# --- 12: a call kills its worker every time


@pytest.mark.slow
@pytest.mark.parametrize(("n", "seconds"), [(8, 0.2), (300, 0.001)], ids=["single calls", "batches"])
def test_a_call_that_kills_every_worker_is_set_aside_and_named_and_the_rest_finishes(
    pipe: Pipe, n: int, seconds: float
) -> None:
    mark = Mark()
    done = pipe("run", acts(pipe, n=n, seconds=seconds, deed="exit"), code=3, env=mark.env)
    assert "act[3] failed for good: the call killed each worker that tried it" in done.err
    assert set(ended(pipe)) == set(range(n)) - {3}
    check(pipe, mark, n, without=(3,))


# --- 13: the scheduler is killed


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Callable[..., Remote]]:
    """Makes clusters of somebody else's, and ends them after the test."""
    made: list[Remote] = []

    def make(host: str = "127.0.0.1", **settings: str) -> Remote:
        made.append(Remote(tmp_path / f"remote{len(made)}", host, **settings))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_run_with_5_and_the_run_can_be_resumed(
    pipe: Pipe, remote: Callable[..., Remote]
) -> None:
    there = remote()
    there.worker()
    mark = Mark()
    spec = acts(pipe, cluster=there.address, n=12, seconds=0.5)
    process = pipe.start("run", spec, env=mark.env)
    wait_for(lambda: len(ended(pipe)) >= 3)
    there.scheduler.kill()
    killed = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert time.monotonic() - killed < 15
    assert "scheduler" in err
    assert "pipe resume" in err
    assert "Traceback" not in err
    mark.check_none_left()
    check_journal(pipe)
    assert not (pipe.folder / "out/map").exists()
    there.start_scheduler()
    there.worker()
    before = ended(pipe)
    done = pipe("resume", "last", "--json", env=mark.env)
    reused = [event["item"] for event in done.events if event["event"] == "call_done" and event["reused"]]
    assert len(reused) >= 2
    assert all(ended(pipe)[number] == before[number] for number in reused)
    check(pipe, mark, 12)


# --- 15: a worker is cut off


@pytest.mark.slow
def test_the_calls_of_a_worker_that_is_cut_off_run_elsewhere_and_the_output_is_published_once(
    pipe: Pipe, remote: Callable[..., Remote]
) -> None:
    with own_network() as (name, ours, its):
        there = remote(ours, **IMPATIENT)
        away = there.worker("ip", "netns", "exec", name, host=its)
        there.worker(host=ours)
        there.wait_for_workers(2)
        mark = Mark()
        process = pipe.start("run", acts(pipe, cluster=there.address, n=10, seconds=0.5), env=mark.env)

        def both_work() -> bool:
            inside = {child.pid for child in psutil.Process(away.pid).children(recursive=True)}
            return any(started_on(pipe, number) in inside for number in range(10)) and len(ended(pipe)) >= 2

        wait_for(both_work)
        subprocess.run(["ip", "-n", name, "link", "set", "inside", "down"], check=True)
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        check(pipe, mark, 10)
        there.end()
    assert max(ended(pipe).values()) <= 2


# --- 16: a worker is stopped


@pytest.mark.slow
def test_a_stopped_worker_is_ended_by_the_time_limit_of_its_call(pipe: Pipe) -> None:
    mark = Mark()
    done = pipe("run", acts(pipe, deed="stop once", limited=True), env=mark.env)
    assert re.search(
        r"act\[3\] attempt 1 failed, again in \S+ s: the call took longer than its time limit of 3 s", done.err
    )
    check(pipe, mark)


@pytest.mark.slow
def test_a_stopped_worker_without_a_time_limit_is_given_up_after_the_cluster_s_time(
    pipe: Pipe, remote: Callable[..., Remote]
) -> None:
    there = remote(**IMPATIENT)
    for _ in range(2):
        there.worker()
    mark = Mark()
    done = pipe("run", acts(pipe, cluster=there.address, deed="stop once"), "--json", env=mark.env)
    assert set_aside(done) == []
    check(pipe, mark)


# --- what calls say


def lines(done: Done) -> dict[int, list[tuple[str, str]]]:
    """Level and text of what each call said, in order."""
    found: dict[int, list[tuple[str, str]]] = {}
    for event in done.events:
        if event["event"] == "log" and event["node"] == "act" and event["item"] is not None:
            found.setdefault(event["item"], []).append((event["level"], event["text"]))
    return found


@pytest.mark.parametrize(("n", "seconds"), [(6, 0.3), (300, 0.0)], ids=["single calls", "batches"])
def test_what_calls_say_comes_in_order_with_the_worker_s_name_to_view_and_journal(
    pipe: Pipe, n: int, seconds: float
) -> None:
    mark = Mark()
    done = pipe("run", acts(pipe, n=n, seconds=seconds, deed="talk"), "--json", env=mark.env)
    said = lines(done)
    for number in range(n):
        assert said[number] == [
            ("info", f"first {number}"),
            ("warning", f"second {number}"),
            ("warning", f"UserWarning: third {number}"),
            ("info", f"fourth {number}"),
            ("info", f"last {number}"),
        ]
    workers = {event["worker"] for event in done.events if event["event"] == "log" and event["node"] == "act"}
    assert workers
    assert workers <= {"worker-0", "worker-1"}
    if seconds:
        assert {e["item"] for e in done.events if e["event"] == "call_progress"} == set(range(n))
    order = [json.dumps([e["node"], e["item"], e["event"]]) for e in done.events if e["event"] in ("log", "call_done")]
    for number in range(n):  # nothing is said after its call has ended
        ended_at = order.index(json.dumps(["act", number, "call_done"]))
        assert json.dumps(["act", number, "log"]) not in order[ended_at:]
    kept = [line for line in pipe("logs", "last", "--node", "act").out.splitlines() if "act[3]" in line]
    assert [line.partition(": ")[2] for line in kept] == [text for _, text in said[3]]
    check(pipe, mark, n)


@pytest.mark.slow
def test_the_last_words_of_a_worker_that_dies_are_heard(pipe: Pipe) -> None:
    done = pipe("run", acts(pipe, deed="talk and exit"), "--json", code=3)
    assert ("info", "the last words") in lines(done)[3]
