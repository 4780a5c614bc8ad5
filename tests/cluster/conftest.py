"""A Dask cluster that swath did not start: processes with a folder of their own, without a project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swath.cluster.workers import tls
from swath.spec.clusters.cluster import TlsFiles
from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process
from tests.waiting import until

__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]
ROOT = Path(__file__).resolve().parents[2]


class ExternalCluster:
    """A scheduler, and workers that are started one by one."""

    def __init__(self, folder: Path, files: TlsFiles | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._tls = (
            ["--tls-ca-file", files.ca, "--tls-cert", files.cert, "--tls-key", files.key] if files is not None else []
        )
        file = folder / "scheduler.json"
        protocol = "tls" if files else "tcp"
        self.start("scheduler", "--port", "0", "--protocol", protocol, "--scheduler-file", str(file))
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), 30)
        self.address = json.loads(file.read_text())["address"]

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard", *self._tls],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            cwd=self.folder,
        )
        self._processes.append(process)
        return process

    def worker(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        return self.start("worker", self.address, "--nthreads", "1", *arguments, env=env)

    def end(self) -> None:
        for process in reversed(self._processes):
            process.terminate()  # workers first: they deregister at the scheduler
            process.wait(20)


@pytest.fixture
def external_cluster(tmp_path: Path) -> Iterator[Callable[..., ExternalCluster]]:
    """Starts such clusters, and ends them after the test."""
    started: list[ExternalCluster] = []

    def start(files: TlsFiles | None = None) -> ExternalCluster:
        started.append(ExternalCluster(tmp_path / f"external{len(started)}", files))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def tls_files(tmp_path: Path) -> TlsFiles:
    """Certificate and key of a scheduler, as files."""
    security = tls.run_security()
    files = {"ca": security.tls_ca_file, "cert": security.tls_scheduler_cert, "key": security.tls_scheduler_key}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    return TlsFiles(**{name: str(tmp_path / f"{name}.pem") for name in files})
