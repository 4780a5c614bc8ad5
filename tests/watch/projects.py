"""A project whose pipeline appends a line to a file, for triggers to start."""

from __future__ import annotations

from pathlib import Path

from tests.process import Pipe

PIPELINE = '''
"""Writes a line."""

from pathlib import Path

from swath import OutputPath, Spec, pipeline, sensor, task


class Mark(Spec):
    file: OutputPath
    word: str = "x"
    hold: str = ""


@task(on_client=True, cache=False)
def write(file, word, hold):
    import time

    with Path(file).open("a") as out:
        out.write(word + "\\\\n")
    while hold and Path(hold).exists():
        time.sleep(0.05)
    return word


@pipeline
def mark(spec: Mark):
    """Write a line."""
    return write(str(spec.file), spec.word, spec.hold)


@sensor
def numbers(cursor, found, most):
    """One more number in each look."""
    print("looking")
    for number in range(cursor or 0):
        found(f"n{number}", number=number)
    return min((cursor or 0) + 1, most)


@sensor
def forever(cursor, found):
    """A look that never ends, and starts a process."""
    import subprocess
    import time

    child = subprocess.Popen(["sleep", "600"])
    Path("child.pid").write_text(str(child.pid))
    while True:
        time.sleep(1)


@sensor
def noisy(cursor, found):
    """Prints without end."""
    while True:
        print("x" * 100000)


def unmarked(cursor, found):
    """No sensor."""
'''


def marking(pipe: Pipe, triggers: str) -> Pipe:
    """Make the project of `pipe` one with these triggers, trusted. Its runs write lines of `lines.txt`."""
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines/mark.py").write_text(PIPELINE.replace("\\\\n", "\\n"))
    (pipe.folder / "mark.yaml").write_text("pipeline: mark\nfile: lines.txt\ncluster: inline\n")
    (pipe.folder / "swath.yaml").write_text(f"triggers:\n{triggers}\n")
    pipe.env["SWATH_TRUST"] = str(pipe.folder)
    return pipe


def lines(folder: Path) -> list[str]:
    """What the runs wrote."""
    file = folder / "lines.txt"
    return file.read_text().splitlines() if file.exists() else []
