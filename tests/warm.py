"""`pipe` processes by fork of one that has imported the large libraries: to import torch takes longer than most of these runs.

What is forked is otherwise as a new process: it has its own pid, folder, environment, streams and exit code. Hash seeds and
what libraries read from the environment when they are imported are those of the tests' process. SWATH_TESTS_COLD=1 starts an
interpreter for every run instead; elsewhere than on Linux it is always so.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
POSSIBLE = sys.platform == "linux" and not os.environ.get("SWATH_TESTS_COLD")
LIBRARIES = (
    "torch",
    "rasterio",
    "odc.geo.geobox",
    "pyogrio",
    "shapely",
    "pyproj",
    "pyarrow",
    "swath.models.learn.vision",
)
LONGEST = 1 << 17
"""Bytes of a request: words, folder and environment."""


def run(words: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `pipe` to its end. Raises subprocess.TimeoutExpired when that takes longer, and the process is killed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here:
            with there:
                request = json.dumps({"words": list(words), "folder": str(folder), "env": dict(env)}).encode()
                socket.send_fds(_server(), [request], [out.fileno(), err.fileno(), there.fileno()])
            pid = int(here.recv(64))
            here.settimeout(timeout)
            try:
                code = int(here.recv(64))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(words), timeout) from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(list(words), code, *texts)


@cache
def _server() -> socket.socket:
    """The way to the process that is forked, which ends when this one does, or when the way is closed."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}  # no threads: they are not forked
    command = [sys.executable, "-m", "tests.warm", str(there.fileno())]
    with there:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()])
    atexit.register(process.wait)
    atexit.register(here.close)  # before the wait
    return here


def _serve(requests: socket.socket) -> None:
    """Fork for each request. Returns in what is forked, set up as the process of that request, or when there is no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait below leave no zombies
    while True:
        request, files, _, _ = socket.recv_fds(requests, LONGEST, 3)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            pid = os.fork()
            if pid:
                _wait(pid, files[2])
            break
        for file in files:
            os.close(file)
    asked = json.loads(request)
    for number, file in enumerate(files[:2], 1):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    own = {"", str(ROOT)}
    paths = [path for path in asked["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [asked["folder"], *paths, *(path for path in sys.path if path not in own)]
    sys.argv = ["pipe", *asked["words"]]
    sys.orig_argv = [sys.executable, "-m", "swath.cli", *asked["words"]]


def _wait(pid: int, reply: int) -> NoReturn:
    """Tell pid and exit code."""
    os.write(reply, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    os.write(reply, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _import() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    vision = sys.modules["swath.models.learn.vision"]
    if importlib.util.find_spec("lightning"):
        vision.settle()
        importlib.import_module("lightning")


class Ending:
    """The end of a process without a second of tearing down the large libraries; what was registered to happen at exit did."""

    def __init__(self) -> None:
        self._code = 1
        atexit.register(self)  # before the libraries' own, so that it is called after them

    def __call__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self._code)

    def of(self, ended: SystemExit) -> None:
        self._code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)


if __name__ == "__main__":
    ending = Ending()
    try:
        _import()
        gc.freeze()  # no collection of them in what is forked
        _serve(socket.socket(fileno=int(sys.argv[1])))
        runpy.run_module("swath.cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        ending.of(ended)
        raise
