"""A preempted spot machine ends its calls in time, and hands over its results."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, Event, LocalCluster

from swath.cluster.machine import metadata as metadata_of
from swath.cluster.machine import preemption


@contextlib.contextmanager
def metadata(answers: dict[str, tuple[int, str]]) -> Iterator[str]:
    """A metadata server: path -> (status, text). EC2's paths need a token."""

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


def test_the_preemption_notice_of_each_cloud_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, tuple[int, str]] = {GCP: (200, "FALSE")}
    with metadata(answers) as address:
        monkeypatch.setenv(metadata_of.METADATA, address)
        assert [preemption.aws_preempted(), preemption.gcp_preempted()] == [False, False]
        answers |= {AWS: (200, '{"action": "terminate"}'), GCP: (200, "TRUE")}
        assert [preemption.aws_preempted(), preemption.gcp_preempted()] == [True, True]


def test_a_preempted_machine_ends_its_calls_and_hands_over_its_results(
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
        result = client.submit(lambda: "kept", workers=[gone.address], allow_other_workers=True)
        result.result()
        running = client.submit(slow, workers=[gone.address], allow_other_workers=True, pure=False)
        Event("started", client=client).wait(20)
        answers[AWS] = (200, '{"action": "terminate"}')
        retired = asyncio.run_coroutine_threadsafe(
            preemption.retire_on_notice("aws", cluster.scheduler_comm, [gone.name], poll_s=0.05),
            cluster.loop.asyncio_loop,
        )
        while client.who_has(result)[result.key] != (stays.address,):
            assert not retired.done()
        assert client.submit(lambda: "elsewhere", pure=False).result() == "elsewhere"
        Event("go on", client=client).set()
        assert running.result() == "done"
        retired.result(20)
        assert [running.result(), result.result(), ran.read_text()] == ["done", "kept", "once"]
        assert list(client.scheduler_info()["workers"]) == [stays.address]
