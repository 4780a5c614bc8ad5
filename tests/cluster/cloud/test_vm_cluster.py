from __future__ import annotations

import asyncio
import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, Event, LocalCluster
from distributed.security import Security

from swath.cluster.cloud import launch_requests
from swath.cluster.machine import entrypoint, preemption
from swath.cluster.machine import metadata as metadata_of
from swath.cluster.workers import tls
from swath.cluster.workers.autoscaling import Backlog, ScalingUnit, useful


@contextlib.contextmanager
def metadata(answers: dict[str, tuple[int, str]]) -> Iterator[str]:
    """A machine's metadata: path to (status, text); EC2's only with a token."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.get(self.path, (404, ""))
            if self.path.startswith("/latest/meta-data") and self.headers.get("X-aws-ec2-metadata-token") != "token":
                status = 401
            if self.path.startswith("/computeMetadata") and self.headers.get("Metadata-Flavor") != "Google":
                status = 403
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"token")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


AWS, GCP = "/latest/meta-data/spot/instance-action", "/computeMetadata/v1/instance/preempted"


def test_each_clouds_notice_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, tuple[int, str]] = {GCP: (200, "FALSE")}
    with metadata(answers) as address:
        monkeypatch.setenv(metadata_of.METADATA, address)
        assert [preemption.aws(), preemption.gcp()] == [False, False]
        answers |= {AWS: (200, '{"action": "terminate"}'), GCP: (200, "TRUE")}
        assert [preemption.aws(), preemption.gcp()] == [True, True]


def test_a_machine_that_is_taken_back_ends_its_calls_and_hands_over_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, tuple[int, str]] = {}
    ran = tmp_path / "ran"

    def slow() -> str:
        with ran.open("a") as file:
            file.write("once")
        Event("started").set()
        Event("go on").wait(20)
        return "done"

    monkeypatch.setattr(preemption, "EVERY_S", 0.05)
    with (
        metadata(answers) as address,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        monkeypatch.setenv(metadata_of.METADATA, address)
        gone, stays = cluster.workers.values()
        held = client.submit(lambda: "kept", workers=[gone.address], allow_other_workers=True)
        held.result()
        running = client.submit(slow, workers=[gone.address], allow_other_workers=True, pure=False)
        Event("started", client=client).wait(20)
        answers[AWS] = (200, '{"action": "terminate"}')
        retired = asyncio.run_coroutine_threadsafe(
            preemption.retire_at("aws", cluster.scheduler_comm, [gone.name]), cluster.loop.asyncio_loop
        )
        while client.who_has(held)[held.key] != (stays.address,):
            assert not retired.done()
        assert client.submit(lambda: "elsewhere", pure=False).result() == "elsewhere"
        Event("go on", client=client).set()
        assert running.result() == "done"
        retired.result(20)
        assert [running.result(), held.result(), ran.read_text()] == ["done", "kept", "once"]
        assert list(client.scheduler_info()["workers"]) == [stays.address]


def test_settings_of_one_cluster_are_in_its_machines_only_and_small() -> None:
    before = dask.config.get("distributed.comm")
    security: Any = tls.for_this_run()
    text = launch_requests.inherited(security, "worker")
    assert len(text) < 3000
    handed_down = dask.config.deserialize(text)
    assert dask.config.get("distributed.comm") == before
    with dask.config.set(dask.config.merge(dask.config.config, handed_down)):
        there: Any = Security()
    assert there.require_encryption
    assert there.tls_min_version == ssl.TLSVersion.TLSv1_3
    assert (there.tls_worker_cert, there.tls_ca_file) == (security.tls_worker_cert, security.tls_ca_file)
    assert there.tls_scheduler_key is None


def test_processes_share_memory_equally_and_have_a_gpu_each() -> None:
    assert [offered for offered, _ in entrypoint.shares(4, 0, 16_000)] == [{"cpu": 1, "memory": 4000}] * 4
    shared = entrypoint.shares(2, 2, 16_000)
    assert [offered["gpu"] for offered, _ in shared] == [1, 1]
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in shared] == ["0", "1"]


def test_a_machine_is_wanted_for_what_all_its_processes_can_do() -> None:
    unit = ScalingUnit(processes=4, worth_s=60.0)
    assert useful(Backlog(1000, 16 * 60.0), 1, unit) == 4
    assert useful(Backlog(5, 1e6), 1, unit) == 2
    assert useful(Backlog(1000, None), 2, unit) == 4
    assert useful(Backlog(0, 0.0), 2, unit) == 0
