"""`pipe` processes by fork of one that has imported the large libraries: to import torch takes longer than most of these runs.

What is forked is otherwise as a new process: it has its own pid, folder, environment, streams and exit code, and is killed like
any other; so are the workers of its local cluster. Hash seeds and what libraries read from the environment when they are imported
are those of the tests' process.
SWATH_TESTS_COLD=1 starts an interpreter for every run of tests.process instead; elsewhere than on Linux it is always so.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import util
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
POSSIBLE = sys.platform == "linux" and not os.environ.get("SWATH_TESTS_COLD")
LIBRARIES = (
    "torch", "rasterio", "odc.geo.geobox", "pyogrio", "shapely", "pyproj", "pyarrow", "s3fs", "gcsfs",
    "swath.training.loop.torchvision_guard", "swath.cli.commands.run", "swath.storage.publication",
    "swath.cluster.cloud.cloud", "swath.cluster.providers.aws.launch", "swath.cluster.providers.gcp.launch",
    "distributed.nanny", "distributed.worker",
    "swath.engine.executors.dask", "swath.maps.region", "swath.models.info", "swath.maps.map_files",
    "swath.maps.vectors.geoparquet", "swath.cli.app",
)  # fmt: skip
SERVER = {
    "PYTHONPATH": str(ROOT),
    "OPENBLAS_NUM_THREADS": "1",  # no threads: they are not forked
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # as swath does; gcsfs reads it when it is imported
}
LONGEST = 1 << 17
"""Bytes of a request: words, folder and environment."""
_AWAY = 500
"""File numbers from here on are free."""


class Forked:
    """A `pipe` that runs, or has ended."""

    def __init__(self, words: Sequence[str], folder: Path, env: Mapping[str, str], out: int, err: int) -> None:
        """`out` and `err` are files for what it says."""
        self._reply, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            request = json.dumps({"words": list(words), "folder": str(folder), "env": dict(env)}).encode()
            socket.send_fds(_server(), [request], [out, err, there.fileno()])
        self.pid = int(self._reply.recv(64))

    def ended(self, within_s: float) -> bool:
        """Whether it ends within a time."""
        return bool(select.select([self._reply], [], [], within_s)[0])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def code(self) -> int:
        """Its exit code when it has ended, to be asked for once; -9 after a kill."""
        with self._reply:
            return int(self._reply.recv(64))


def run(words: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `pipe` to its end. Raises subprocess.TimeoutExpired when that takes longer, and the process is killed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Forked(words, folder, env, out.fileno(), err.fileno())
        in_time = process.ended(timeout)
        if not in_time:
            process.kill()
        code = process.code()
        if not in_time:
            raise subprocess.TimeoutExpired(list(words), timeout)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(list(words), code, *texts)


@cache
def _server() -> socket.socket:
    """The way to the process that is forked, which ends when this one does, or when the way is closed."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.warm", str(there.fileno())]
    with there:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | SERVER, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()]
        )
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


def _keep_spare() -> None:
    """Fork a process that has nothing of the run's yet, for multiprocessing to have as its server of workers."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        here.close()
        _serve_workers(there)
    there.close()
    started, spare = util.spawnv_passfds, [here]

    def start(path: str, words: Sequence[str], files: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in words[-1] or not spare:
            return int(started(path, words, files))
        request = json.dumps({"code": words[-1], "files": files, "env": dict(os.environ)}).encode()
        with spare.pop() as way:
            socket.send_fds(way, [request], files)
        return pid

    vars(util)["spawnv_passfds"] = start


def _serve_workers(asked: socket.socket) -> NoReturn:
    """Do what an interpreter would have been started for, or end with the run that did not need it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as swath.cluster.local.fork_server does
    request, files, _, _ = socket.recv_fds(asked, LONGEST, 8)
    asked.close()
    if not request:
        os._exit(0)
    told = json.loads(request)
    os.environ.clear()
    os.environ.update(told["env"])
    for file in files:  # out of the way of the numbers that they are to have
        fcntl.fcntl(file, fcntl.F_DUPFD, _AWAY)
        os.close(file)
    for place, number in enumerate(told["files"], _AWAY):
        os.dup2(place, number)
        os.close(place)
    sys.modules["__main__"] = types.ModuleType("__main__")
    with contextlib.suppress(SystemExit):
        exec(told["code"], {})  # what the interpreter would have been given
    os._exit(0)


def _wait(pid: int, reply: int) -> NoReturn:
    """Tell pid and exit code."""
    os.write(reply, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    os.write(reply, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _import() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    vision = sys.modules["swath.training.loop.torchvision_guard"]
    if importlib.util.find_spec("lightning"):
        vision.import_torchvision()
        importlib.import_module("lightning")
    if threading.active_count() > 1:
        raise RuntimeError("a thread runs: what is forked now could wait for it for ever")


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
        _keep_spare()
        runpy.run_module("swath.cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        ending.of(ended)
        raise
