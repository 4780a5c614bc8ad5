"""A Dask cluster of somebody else's: a scheduler and workers that are killed one by one, and a worker in a network of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.projects import wait_for
from tests.process import ROOT


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Remote:
    """A scheduler of somebody else's at one address, with workers: processes that are started, stopped and killed one by one."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", **settings: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.address = f"tcp://{host}:{free_port()}"
        self._settings = settings
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        host, port = self.address.removeprefix("tcp://").split(":")
        self.scheduler = self.start("scheduler", "--host", host, "--port", port, "--no-dashboard")

        def up() -> bool:
            with socket.socket() as trying:
                trying.settimeout(1)
                return trying.connect_ex((host, int(port))) == 0

        wait_for(up)
        return self.scheduler

    def wait_for_workers(self, number: int) -> None:
        code = f"from distributed import Client; Client('{self.address}').wait_for_workers({number}, timeout=60)"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    def worker(self, *before: str, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
        return self.start("worker", self.address, "--host", host, "--nthreads", "1", "--no-dashboard", before=before)

    def start(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "dask", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self._settings},
            cwd=self.folder,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        """End all of it, also what is stopped or cut off."""
        found = []
        for process in self._processes:
            if process.poll() is None:
                me = psutil.Process(process.pid)
                found += [*me.children(recursive=True), me]
        for each in found:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        for process in self._processes:
            process.wait(20)


@contextlib.contextmanager
def own_network() -> Iterator[tuple[str, str, str]]:
    """A network namespace with a cable to this one: (its name, address of this end, address of its end)."""
    number = os.getpid() % 250
    name, cable, ours, its = f"swath{number}", f"swath{number}", f"10.213.{number}.1", f"10.213.{number}.2"

    def ip(*arguments: str) -> bool:
        return subprocess.run(["ip", *arguments], capture_output=True).returncode == 0

    if os.geteuid() != 0 or not ip("netns", "add", name):
        pytest.skip("a network namespace cannot be made here")
    try:
        if not ip("link", "add", cable, "type", "veth", "peer", "name", "inside", "netns", name):
            pytest.skip("a cable between network namespaces cannot be made here")
        assert ip("addr", "add", f"{ours}/24", "dev", cable)
        assert ip("link", "set", cable, "up")
        for arguments in (
            ("addr", "add", f"{its}/24", "dev", "inside"),
            ("link", "set", "inside", "up"),
            ("link", "set", "lo", "up"),
        ):
            assert ip("-n", name, *arguments)
        yield name, ours, its
    finally:
        ip("netns", "del", name)  # the cable goes with it
