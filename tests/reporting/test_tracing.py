"""Runs send their traces to a real receiver of OTLP over HTTP on loopback, only when asked, and never at a run's expense."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from swath.reporting.tracing import TraceLimits
from tests.process import ROOT, Pipe
from tests.receivers import Web, web

PIPELINE = """
import time
from swath import Spec, pipeline, task

class Job(Spec):
    bad: tuple[int, ...] = ()
    n: int = 3

@task(retries=1)
def work(x, *, bad):
    time.sleep(0.02)
    if x in bad:
        raise ValueError(f"item {x} is bad")
    return x

@task
def total(values):
    return sum(values)

@pipeline
def job(spec: Job):
    return total(work.map(range(spec.n), bad=spec.bad))
"""


@pytest.fixture
def job(pipe: Pipe) -> Pipe:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "job.py").write_text(PIPELINE)
    pipe.env = {key: value for key, value in pipe.env.items() if not key.startswith(("OTEL_", "TRACE"))}
    return pipe


def spec(pipe: Pipe, **fields: Any) -> Path:
    path = pipe.folder / "job.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "job", "cluster": "inline", **fields}))
    return path


def spans(server: Web) -> list[Span]:
    found: list[Span] = []
    for body in server.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def services(server: Web) -> set[str]:
    return {
        each.value.string_value
        for body in server.bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for each in resource.resource.attributes
        if each.key == "service.name"
    }


def about(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.mark.slow
def test_a_run_is_a_trace_of_run_node_and_call_with_commit_and_errors(job: Pipe) -> None:
    for command in ("init -q", "config user.email a@b.c", "config user.name n", "add .", "commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=job.folder, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=job.folder, check=True, capture_output=True, text=True
    ).stdout
    with web() as server:
        job("run", spec(job, bad=[1], name="nightly"), code=3, env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    assert set(server.paths) == {"/v1/traces"}
    assert services(server) == {"swath"}
    found = spans(server)
    (run,) = (span for span in found if span.name == "run job")
    (node,) = (span for span in found if span.name == "work" and span.parent_span_id == run.span_id)
    calls = [span for span in found if span.parent_span_id == node.span_id]
    assert {span.trace_id for span in found} == {run.trace_id}
    said = about(run)
    assert said["cicd.pipeline.name"] == "job"
    assert said["swath.run.name"] == "nightly"
    assert said["vcs.ref.head.revision"] == commit.strip()
    assert (said["cicd.pipeline.result"], said["swath.run.exit_code"]) == ("failure", 3)
    assert run.status.code == Status.STATUS_CODE_ERROR
    assert sorted(about(call)["swath.call.item"] for call in calls) == [0, 1, 2]
    assert all(about(call)["cicd.worker.name"] for call in calls)
    assert about(node)["swath.calls.made"] == 2
    assert about(node)["swath.calls.failed"] == 1
    (bad,) = (call for call in calls if call.status.code == Status.STATUS_CODE_ERROR)
    assert bad.status.message == "ValueError: item 1 is bad"
    assert about(bad)["error.type"] == "ValueError"
    assert [event.name for event in bad.events] == ["retry", "exception"]
    for call in calls:
        assert (
            node.start_time_unix_nano <= call.start_time_unix_nano < call.end_time_unix_nano <= run.end_time_unix_nano
        )
        assert call.end_time_unix_nano - call.start_time_unix_nano > 15e6


def test_the_trace_goes_on_with_that_of_a_ci_job(job: Pipe) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with web() as server:
        env = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{server.url}/own/path",
            "TRACEPARENT": f"00-{trace}-{parent}-01",
            "OTEL_SERVICE_NAME": "maps",
        }
        job("run", spec(job), env=env)
    assert set(server.paths) == {"/own/path"}
    assert services(server) == {"maps"}
    found = spans(server)
    (run,) = (span for span in found if span.name == "run job")
    assert run.parent_span_id.hex() == parent
    assert {span.trace_id.hex() for span in found} == {trace}


@pytest.mark.slow
def test_reused_calls_are_counted_and_make_no_spans(job: Pipe) -> None:
    job("run", spec(job))
    with web() as server:
        job("run", spec(job), env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    node = next(span for span in spans(server) if span.name == "work")
    assert about(node)["swath.calls.reused"] == 3
    assert not [span for span in spans(server) if span.parent_span_id == node.span_id]


def test_the_console_exporter_writes_to_stderr(job: Pipe) -> None:
    done = job("run", spec(job), env={"OTEL_TRACES_EXPORTER": "console"})
    assert done.out == "3\n"
    assert '"name": "run job"' in done.err


def test_without_being_asked_nothing_of_the_sdk_is_imported(job: Pipe) -> None:
    code = "import sys; from swath.cli import main; sys.argv[1:] = ['run', 'job.yaml']\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('opentelemetry.sdk') or name == 'apprise'))"
    spec(job)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=job.folder,
        env=job.env,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_the_extra_one_line_names_it(job: Pipe, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    env = {"PYTHONPATH": f"{hidden}{os.pathsep}{ROOT}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = job("run", spec(job), env=env, cold=True)
    lines = [line for line in done.err.splitlines() if "OTEL" in line]
    assert len(lines) == 1
    assert lines[0].endswith(
        "warning: OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, which need an optional package: pip install 'swath[otel]'"
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "can only be http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "can be otlp, console or none"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_run_goes_on(job: Pipe, env: dict[str, str], said: str) -> None:
    done = job("run", spec(job), env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **env})
    assert said in done.err
    assert done.out == "3\n"


@pytest.fixture
def dead() -> str:
    """The address of nobody, with a secret in it."""
    with web() as server:
        return server.url.replace("//", "//user:c4n4ryPass@") + "/c4n4ryPath?sig=c4n4rySig"


@pytest.mark.slow
def test_a_receiver_that_is_gone_costs_seconds_and_a_line_without_its_secrets(job: Pipe, dead: str) -> None:
    began = time.monotonic()
    done = job(
        "run", spec(job), env={"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": dead, "OTEL_EXPORTER_OTLP_HEADERS": "k=c4n4ryKey"}
    )
    assert time.monotonic() - began < 40
    assert done.out == "3\n"
    lines = [line for line in done.err.splitlines() if "traces could not" in line]
    assert len(lines) == 1
    assert "c4n4ry" not in done.err
    assert not [file for file in job.folder.rglob("*") if file.is_file() and b"c4n4ry" in file.read_bytes()]


@pytest.mark.slow
def test_a_receiver_that_does_not_answer_is_not_waited_for_long(job: Pipe) -> None:
    with web(delay_s=20) as server:
        began = time.monotonic()
        done = job("run", spec(job), env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
        assert time.monotonic() - began < 18
    assert "the traces could not all be sent to http://127.0.0.1" in done.err


def test_a_receiver_that_refuses_is_told_with_the_number_of_spans(job: Pipe) -> None:
    with web(lambda _: 401) as server:
        done = job("run", spec(job), env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    assert f"the traces could not be sent to {server.url}: 8 spans are lost" in done.err


@pytest.mark.slow
def test_the_trace_of_many_calls_is_bounded_and_counts_the_rest(job: Pipe) -> None:
    text = (job.folder / "pipelines" / "job.py").read_text()
    (job.folder / "pipelines" / "job.py").write_text(
        text.replace("    time.sleep(0.02)\n", "").replace("(retries=1)", "")
    )
    many = TraceLimits().calls + 3000
    with web() as server:
        job("run", spec(job, n=many, bad=[many - 1]), code=3, env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    found = spans(server)
    node = next(span for span in found if span.name == "work" and "swath.calls.made" in about(span))
    said = about(node)
    assert said["swath.calls.made"] == many - 1
    calls = [span for span in found if span.parent_span_id == node.span_id]
    assert len(calls) + said["swath.calls.without_span"] == many
    assert [about(call)["swath.call.item"] for call in calls if call.status.code == Status.STATUS_CODE_ERROR] == [
        many - 1
    ]
