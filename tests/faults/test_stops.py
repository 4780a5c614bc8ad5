"""Signals and kills in the middle of a run: what was finished is kept, nothing is left, the resumed map is the same."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from tests.faults.projects import Mark, check_journal, check_nothing_left, tiles
from tests.faults.projects import finished as finished_tiles
from tests.identical import differences
from tests.models.safety.crafted import script
from tests.models.tiny_models import tiny_contract, write_integer_unet
from tests.process import Pipe

SLOW = '''
import time
from collections.abc import Iterator
from pathlib import Path
from swath import Output, Spec, pipeline, task

class Slow(Spec):
    output: Output
    n: int = 8
    seconds: float = 0.4

@task
def step(x, *, seconds, made):
    time.sleep(seconds)
    (Path(made) / f"{x}-{time.time_ns()}").touch()
    return x

@task(on_client=True)
def write(values, *, output):
    Path(output.to).mkdir(parents=True, exist_ok=True)
    (Path(output.to) / "sum.txt").write_text(str(sum(values)))
    return output.to

@pipeline
def slow(spec: Slow):
    """Take a while."""
    return write(step.map(range(spec.n), seconds=spec.seconds, made=str(Path(spec.output.to).parent / "made")), output=spec.output)
'''


@pytest.fixture
def slow(pipe: Pipe) -> Path:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "slow.py").write_text(SLOW)
    (pipe.folder / "made").mkdir()
    return pipe.spec(pipeline="slow", output="out", cluster={"kind": "local", "workers": 2})


def made(pipe: Pipe) -> list[int]:
    return sorted(int(file.name.partition("-")[0]) for file in (pipe.folder / "made").iterdir())


def wait_for(condition: object, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def finished_calls(pipe: Pipe) -> int:
    file = pipe.folder / ".swath/journal.sqlite"
    if not file.exists():
        return 0
    with sqlite3.connect(file, timeout=5) as connection:
        try:
            found = connection.execute("SELECT count(*) FROM calls WHERE node = 'step' AND state = 'done'").fetchone()[
                0
            ]
        except sqlite3.OperationalError:
            found = 0
    connection.close()
    return int(found)


def check_clean(pipe: Pipe, children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    connection = sqlite3.connect(pipe.folder / ".swath/journal.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_a_stopped_run_keeps_what_was_finished_and_resumes(
    pipe: Pipe, slow: Path, number: signal.Signals, code: int
) -> None:
    process = pipe.start("run", slow)
    wait_for(lambda: finished_calls(pipe) >= 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    check_clean(pipe, children)
    assert not (pipe.folder / "out").exists()
    if number != signal.SIGKILL:
        assert "pipe resume" in err
    status = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGKILL: "crashed"}[number]
    assert status in pipe("runs").out
    finished = finished_calls(pipe)
    assert 2 <= finished < 8
    done = pipe("resume", "last", "--json")
    assert done.count("call_done", node="step", reused=True) >= finished
    assert (pipe.folder / "out/sum.txt").read_text() == "28"
    assert len(made(pipe)) <= 8 + 2 + 2
    assert set(made(pipe)) == set(range(8))


@pytest.mark.slow
def test_a_second_signal_leaves_at_once(pipe: Pipe, slow: Path) -> None:
    process = pipe.start("run", slow, "--set", "seconds=20")
    wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 2)
    time.sleep(3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(20) in (130, -2)
    assert time.monotonic() - began < 10
    process.communicate()
    check_clean(pipe, children)


@pytest.mark.slow
def test_a_run_killed_while_it_maps_resumes_to_the_same_bytes(pipe: Pipe, shared: Path) -> None:
    model = write_integer_unet(pipe.folder)

    def spec(name: str) -> Path:
        return pipe.spec(
            name,
            imagery={
                "source": "files",
                "paths": [str(shared / "data/imagery/bahamas_rgb.tif")],
                "names": ["red", "green", "blue"],
            },
            model=str(model),
            region=64,
            output={"to": f"out/{name}/map", "blocksize": 64},
        )

    process = pipe.start("run", spec("killed"), "--json")
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += '"call_done"' in line and '"predict_region"' in line
        if seen == 40:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = pipe("resume", "last", "--json")
    reused = done.count("call_done", node="predict_region", reused=True)
    remade = done.count("call_done", node="predict_region", reused=False)
    assert reused >= 40  # what was told to be done is done
    assert reused + remade == 12 * 13
    undisturbed = pipe("run", spec("undisturbed"), "--fresh", "--json")
    assert undisturbed.count("call_done", reused=True) == 0
    for name in ("map.tif", "map.parquet", "preview.png", "item.json"):
        first, second = (pipe.folder / "out" / run / "map" / name for run in ("killed", "undisturbed"))
        assert not differences(first, second)
    assert list((pipe.folder / "out").rglob(".*")) == []


def test_two_runs_on_one_output_the_second_names_the_first(pipe: Pipe, slow: Path) -> None:
    first = pipe.start("run", slow, "--cluster", "inline", "--set", "seconds=2")
    wait_for(lambda: finished_calls(pipe) >= 1)
    second = pipe("run", slow, code=6)
    assert f"process {first.pid}" in second.err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)


def test_cancel_from_another_shell_is_an_interrupt(pipe: Pipe, slow: Path) -> None:
    process = pipe.start("run", slow, "--cluster", "inline", "--set", "seconds=1")
    wait_for(lambda: finished_calls(pipe) >= 1)
    pipe("cancel", "last")
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in pipe("runs").out


def test_ctrl_c_of_a_terminal_reaches_only_the_client(pipe: Pipe, slow: Path) -> None:
    """A terminal signals the whole process group: workers must not die of it with tracebacks of their own."""
    process = pipe.start("run", slow, "--set", "seconds=2", start_new_session=True)
    wait_for(lambda: finished_calls(pipe) >= 1)
    assert os.getpgid(process.pid) == process.pid
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


# --- calls that hear nothing


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    mark.kill()


def stalled(pipe: Pipe, mark: Mark, kind: str, how: str = "") -> tuple[subprocess.Popen[str], Path]:
    """A run one of whose calls sits in C code for a minute, and the file that makes it do so. how: `hold` for C code that holds the
    interpreter."""
    stall = pipe.folder / "stall"
    stall.write_text(how)
    process = pipe.start("run", tiles(pipe, stall=str(stall), cluster=kind), env=mark.env)
    wait_for(lambda: stall.read_text() == "begun")
    time.sleep(1)
    return process, stall


def check_resumable(pipe: Pipe, mark: Mark, stall: Path) -> None:
    mark.check_none_left()
    check_journal(pipe)
    stall.unlink()
    finished = finished_tiles(pipe)
    done = pipe("resume", "last", "--json")
    assert done.count("call_done", node="tile", reused=True) == finished
    assert (pipe.folder / "out/map/item.json").exists()
    check_nothing_left(pipe)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["inline", "local"])
def test_a_cancel_as_github_actions_does_it_leaves_a_run_that_resumes(pipe: Pipe, mark: Mark, kind: str) -> None:
    """SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL, while a call ignores everything for a minute.

    A busy machine is given more time.
    """
    process, stall = stalled(pipe, mark, kind)
    for number, patience_s in ((signal.SIGINT, 30), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        process.send_signal(number)
        try:
            process.wait(patience_s)
            break
        except subprocess.TimeoutExpired:
            continue
    _, err = process.communicate(timeout=10)
    assert "Traceback" not in err
    assert process.returncode == 130, err
    assert "interrupted" in pipe("runs").out
    check_resumable(pipe, mark, stall)


@pytest.mark.slow
def test_workers_end_with_a_killed_client_even_while_a_call_holds_their_interpreter(pipe: Pipe, mark: Mark) -> None:
    stall = pipe.folder / "stall"
    stall.write_text("hold")
    process = pipe.start("run", tiles(pipe, stall=str(stall), cluster="local"), env=mark.env)
    wait_for(lambda: stall.read_text() == "begun")
    time.sleep(1)
    process.kill()
    process.wait(10)
    mark.check_none_left(15)  # the call itself would take a minute
    process.communicate(timeout=10)
    check_resumable(pipe, mark, stall)


@pytest.mark.slow
def test_cancel_now_ends_even_what_hears_nothing_within_seconds(pipe: Pipe, mark: Mark) -> None:
    process, stall = stalled(pipe, mark, "inline", "hold")
    refused = pipe("cancel", "last", "--wait", "1", code=6)
    assert "pipe cancel --now" in refused.err
    began = time.monotonic()
    assert "interrupted" in pipe("cancel", "last", "--now").err
    assert time.monotonic() - began < 20
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()
    check_resumable(pipe, mark, stall)


class Endless(torch.nn.Module):
    """Computes for hours in C++, which hears no signal."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(1000000000):
            x = x * 1.0
        return x


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["inline", "local"])
def test_a_model_that_computes_for_hours_ends_with_its_run(pipe: Pipe, mark: Mark, shared: Path, kind: str) -> None:
    script(pipe.folder / "endless.pt", Endless())
    (pipe.folder / "endless.json").write_text(json.dumps(tiny_contract("endless", ("red", "green", "blue"), 3)))
    image = {
        "source": "files",
        "paths": [str(shared / "data/imagery/bahamas_rgb.tif")],
        "names": ["red", "green", "blue"],
    }
    cluster = "inline" if kind == "inline" else {"kind": "local", "workers": 1}
    spec = pipe.spec(
        imagery=image,
        model=str(pipe.folder / "endless.pt"),
        region=64,
        output={"to": "out/map", "blocksize": 64},
        cluster=cluster,
    )
    process = pipe.start("run", spec, "--json", env=mark.env)
    assert process.stdout is not None
    lines = iter(process.stdout)
    assert any('"call_started"' in line and '"measure_model"' in line for line in lines)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert time.monotonic() - began < 200  # ten seconds, on a machine that is not busy
    assert "terminated" in pipe("runs").out
    mark.check_none_left(60)
    (pipe.folder / "out/.map.lock").unlink(missing_ok=True)  # it locks nothing, and stays after a kill
    check_nothing_left(pipe)
