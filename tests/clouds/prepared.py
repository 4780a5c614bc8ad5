"""Commands whose imports are done: each is forked off a process that has them, so that hundreds of runs cost no hundreds of imports.

A command is a process of its own that is killed like any other; only what comes before its first line is shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process import ROOT, Pipe


@dataclass(frozen=True)
class Command:
    """A `pipe` that runs, or has ended."""

    pid: int
    commands: Commands

    def ended(self, within_s: float) -> bool:
        """Whether it ends within a time."""
        opened = os.pidfd_open(self.pid)
        try:
            return bool(select.select([opened], [], [], within_s)[0])
        finally:
            os.close(opened)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def code(self) -> int:
        """Its exit code when it has ended; -9 after a kill."""
        return self.commands.code(self.pid)


class Commands:
    """Starts `pipe` in the folders of projects; a context manager. All threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def __enter__(self) -> Commands:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.clouds.prepared"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._running:  # after a failure
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()

    def start(self, pipe: Pipe, *words: object) -> Command:
        """As `pipe.start`; what it says goes to the file `said` of the project's folder."""
        pid = int(self.ask(words=list(map(str, words)), folder=str(pipe.folder), env=pipe.env))
        self._running.add(pid)
        return Command(pid, self)

    def code(self, pid: int) -> int:
        """The exit code of one that has ended."""
        code = int(self.ask(wait=pid))
        self._running.discard(pid)
        return code

    def ask(self, **asked: Any) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


# --- the process that forks


def prepare() -> None:
    """Import what a run in a cloud needs."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # as swath does; gcsfs reads it when it is imported
    import gcsfs
    import s3fs

    import swath.cli.running
    import swath.cluster.aws
    import swath.cluster.cloud
    import swath.cluster.gcp
    import swath.imagery.publication

    if threading.active_count() > 1 or not (gcsfs and s3fs and swath):
        raise RuntimeError("a thread runs: what is forked now could wait for it for ever")


def run(words: Sequence[str], folder: str, env: dict[str, str]) -> int:
    """Be `pipe`, in the child."""
    said = os.open(Path(folder) / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(here, there)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["pipe", *words]
    from swath.cli import main

    return main()


def main() -> None:
    prepare()
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = run(**asked)
            os._exit(code)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
