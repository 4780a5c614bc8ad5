"""`pipe run --detach`: the run goes on in a process of its own that outlives the shell."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from swath.engine.journal import Journal
from swath.errors import StateError
from swath.spec.locations import STDIN, is_stream
from swath.storage.private_folder import make_private

OUTPUT = "output.log"
"""Name of a file in the run's folder: what detached sessions of the run printed."""
OUTPUT_PID = "output.pid"
"""Name of a file in the run's folder: the process of the last of these sessions."""
POLL_S = 0.1
FOREGROUND_OPTIONS = frozenset({"--detach", "--wait", "--json"})
"""Options that the detached command does not get."""


def detach(run: str, state: Path, text: str | None = None, *, as_json: bool) -> int:
    """Start this command line again in a session of its own, and return when its run is in the journal.

    run: the id of that run. text: of the spec when it was read from standard input; the new process gets it there. Where the new
    process ends before, its output is printed, and its exit code returned.
    """
    folder = state / "runs" / run
    new = not folder.exists()
    try:
        make_private(state)
        make_private(folder.parent)
        folder.mkdir(exist_ok=True)
        with (folder / OUTPUT).open("ab") as output:
            before = output.tell()
            process = subprocess.Popen(
                command(run), stdin=subprocess.DEVNULL if text is None else subprocess.PIPE, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError), process.stdin as spec:
                    spec.write((text or "").encode())
        with contextlib.suppress(OSError):  # the disk may be full: `pipe logs -f` then shows the lines of the journal
            (folder / OUTPUT_PID).write_text(str(process.pid))
    except OSError as error:
        raise StateError(
            f"the state folder {state} cannot be written: {error}",
            remedy="set SWATH_HOME to a folder that you can write",
        ) from error
    try:
        while not _has_begun(state, run, process.pid):
            if process.poll() is not None and not _has_begun(state, run, process.pid):
                return _print_failure(process.returncode, folder, before, remove=new)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    process.returncode = process.returncode or 0  # nobody waits for it here: no warning about that
    print(json.dumps({"run": run, "pid": process.pid}) if as_json else run)
    print(f"runs on as process {process.pid}; follow it with: pipe logs {run} -f", file=sys.stderr)
    return 0


def command(run: str) -> list[str]:
    """The command line of this process without options of the foreground, for a run with this id."""
    words = sys.argv[1:]
    start = sys.orig_argv[: len(sys.orig_argv) - len(words)]
    words = [STDIN if is_stream(word) else word for word in words if word not in FOREGROUND_OPTIONS]
    if "run" in words:
        at = words.index("run") + 1
        words[at:at] = ["--id", run]
    return [sys.executable, *start[1:], *words]


def _has_begun(state: Path, run: str, pid: int) -> bool:
    """Whether the journal has the run, with this process."""
    if (state / "journal.sqlite").is_file():
        with contextlib.suppress(StateError), Journal.open(state) as journal:
            return journal.find(run).pid == pid
    return False


def _print_failure(code: int, folder: Path, before: int, *, remove: bool) -> int:
    with (folder / OUTPUT).open("rb") as output:
        output.seek(before)
        sys.stderr.write(output.read().decode("utf-8", "replace"))
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code
