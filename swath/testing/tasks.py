"""Tasks that the conformance suites run on workers. Workers import this module, so it needs no pytest."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath.errors import TaskFailed
from swath.graph.call_context import current_run, metrics, progress
from swath.graph.task import task

GIVE_UP_S = 60.0
"""A task that waits for something ends after so long, so that no test leaves it behind."""


@task
def square(x: int, *, folder: str = "") -> int:
    """x * x. Notes in `folder`, if any, that it was executed."""
    if folder:
        note(folder, str(x))
    return x * x


@task
def total(values: Sequence[int], *, plus: int = 0) -> int:
    """The sum of some values."""
    return sum(values) + plus


@task
def fail(x: int) -> int:
    """Raise an error with a cause."""
    try:
        raise KeyError(f"cause {x}")
    except KeyError as error:
        raise OSError(f"number {x} is wrong") from error


@task
def fail_for_good(x: int) -> int:
    """Raise an error that a retry cannot mend."""
    raise TypeError(f"number {x} is of no use")


@task
def fail_with_remedy(x: int) -> int:
    """Raise an error of swath."""
    raise TaskFailed(f"number {x} cannot be computed", remedy="use another one")


@task(retries=1, retry_delay_s=0.01)
def fail_once(x: int, *, folder: str) -> int:
    """Raise an error in the first attempt, square in the second."""
    if first_time(folder, f"failed-{x}"):
        raise OSError(f"number {x} is wrong at first")
    return x * x


@task
def talk(x: int) -> str:
    """Print, log, warn and report. Returns the id of the run."""
    print("printed", x)  # noqa: T201 - what is captured
    logging.getLogger("somebody").warning("logged %d", x)
    warnings.warn(f"warned {x}", UserWarning, stacklevel=1)
    progress(1, 2, pixels=10)
    metrics({"loss": 0.5})
    print("two\nlines", x, end="")  # noqa: T201 - what is captured
    return current_run()


@task
def wait_for(name: str, *, folder: str) -> str:
    """Note `+name`, wait until there is a file `name`, and note `-name`."""
    note(folder, f"+{name}")
    until = time.monotonic() + GIVE_UP_S
    while not (Path(folder) / name).exists():
        if time.monotonic() > until:
            raise TimeoutError(f"there is no {name} after {GIVE_UP_S:g} s")
        time.sleep(0.01)
    note(folder, f"-{name}")
    return name


@task(timeout_s=0.5)
def hang(x: int, *, folder: str) -> int:
    """Sleep past the time limit where `x` is negative, and square all others."""
    note(folder, str(x))
    if x < 0:
        time.sleep(GIVE_UP_S)
    return x * x


@task
def kill_worker(x: int, *, folder: str) -> int:
    """Kill the own process where `x` is negative, and square all others."""
    note(folder, str(x))
    if x < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


@task
def repeat(text: str, times: int) -> str:
    """A text, several times."""
    return text * times


@task
def same(value: Any) -> Any:
    """The value itself."""
    return value


def note(folder: str, text: str) -> None:
    """Append a line to the notes in a folder."""
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{text}\n")


def notes(folder: str) -> list[str]:
    """The notes in a folder, in the order in which they were written."""
    file = Path(folder) / "notes"
    return file.read_text().splitlines() if file.exists() else []


def first_time(folder: str, name: str) -> bool:
    """Whether this is the first call with that name."""
    try:
        (Path(folder) / name).open("x").close()
    except FileExistsError:
        return False
    return True
