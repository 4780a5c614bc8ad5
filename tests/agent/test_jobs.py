"""Runs on launchers: the whole way through a server, an agent, a job that takes over, and a run; and what is told when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swath.agent.jobs import job_name
from swath.errors import CredentialsError
from swath.launchers.batch import BatchLauncher
from swath.launchers.docker import DockerLauncher
from swath.launchers.settings import BatchSettings, DockerSettings, VertexSettings
from swath.launchers.vertex import VertexLauncher
from swath.protocol.client import Client, ClientLimits, Superseded
from swath.protocol.messages import Claim
from tests.agent.conftest import Site, wait_for
from tests.launchers.conftest import FakeDocker
from tests.launchers.fake_batch import FakeBatch
from tests.launchers.fake_vertex import FakeVertex

SPEC = "pipeline: job\ncluster: inline\n"


def box(site: Site, boot_s: float = 600) -> DockerLauncher:
    launcher = DockerLauncher(DockerSettings(kind="docker", image="swath:0.2", boot_s=boot_s))
    launcher.poll_s = 0.2
    return launcher


def far(boot_s: float = 600) -> VertexLauncher:
    settings = VertexSettings(
        kind="vertex", project="p", region=("europe-west4", "europe-west1"), image="eu/swath:0.2",
        machine=("n2-highmem-2", "n1-highmem-2"), service_account="run@p.iam.gserviceaccount.com", boot_s=boot_s,
    )  # fmt: skip
    launcher = VertexLauncher(settings)
    launcher.poll_s = 0.2
    return launcher


@pytest.mark.slow
def test_a_run_in_a_container_is_executed_and_its_definition_has_no_token_that_is_worth_anything(
    site: Site, docker: FakeDocker
) -> None:
    site.agent("desk", launchers={"box": box(site)})
    run = site.submit(SPEC, runs_on="box")
    info = site.end_of(run)
    assert (info.status, info.runs_on, info.attempt) == ("done", "box", 1), info.error
    assert "step 2" in site.lines(run)
    token = docker.state(job_name(run, 1))["env"]["SWATH_ATTEMPT_TOKEN"]
    with pytest.raises(CredentialsError):
        Client(site.server.url, token, ClientLimits(tries=1)).beat(run, 1)
    wait_for(lambda: not docker.names())  # the container was removed


@pytest.mark.slow
def test_a_run_on_vertex_goes_on_when_the_agent_ends_and_the_next_one_takes_it_up(
    site: Site, vertex: FakeVertex
) -> None:
    spec, hold = site.held()
    first = site.agent("desk", launchers={"far": far()})
    run = site.submit(spec, runs_on="far")
    site.wait_began()
    site.end_agent(first)
    site.agent("desk", launchers={"far": far()})
    hold.unlink()
    info = site.end_of(run)
    assert (info.status, info.attempt, len(vertex.jobs)) == ("done", 1, 1), info.error
    folder = site.folder / "agents/desk/attempts" / f"{run}.1"
    wait_for((folder / "ended").exists)


@pytest.mark.slow
def test_a_run_on_aws_batch_passes_over_a_queue_without_machines(site: Site, batch: FakeBatch) -> None:
    batch.full.add("spot")
    settings = BatchSettings(
        kind="batch", region="eu-central-1", queue=("spot", "on-demand"), definition="swath:3", queue_s=0.5
    )
    launcher = BatchLauncher(settings)
    launcher.poll_s = 0.2
    site.agent("desk", launchers={"batch": launcher})
    run = site.submit(SPEC, runs_on="batch")
    info = site.end_of(run)
    assert (info.status, info.attempt) == ("done", 1), info.error
    assert [job["asked"]["jobQueue"] for job in batch.jobs.values()] == ["spot", "on-demand"]


@pytest.mark.slow
def test_an_agent_that_is_killed_before_it_has_written_down_a_job_starts_no_second_one(
    site: Site, docker: FakeDocker, tmp_path: Path
) -> None:
    """As a user starts the agent, and a run on its launcher."""
    file = tmp_path / "agent.yaml"
    file.write_text("launchers:\n  box: {kind: docker, image: swath:0.2}\n")
    first = site.agent_process("desk", "--launchers", str(file), crash="sent")
    spec = tmp_path / "job.yaml"
    spec.write_text(SPEC)
    submitted = subprocess.run(
        [sys.executable, "-m", "swath.cli", "submit", str(spec), "--project", "p", "--runs-on", "box"],
        env={**os.environ, "SWATH_SERVER": site.server.url, "SWATH_TOKEN": site.server.client_token}, capture_output=True, check=True,
        text=True,
    )  # fmt: skip
    run = submitted.stdout.strip()
    assert first.wait(120) == -signal.SIGKILL
    site.agent_process("desk", "--launchers", str(file))
    info = site.end_of(run)
    assert (info.status, info.attempt, info.runs_on) == ("done", 1, "box"), info.error
    wait_for(lambda: not docker.names())
    calls = (docker.folder / "calls").read_text().splitlines()
    assert sum(call.startswith("run ") for call in calls) == 1


@pytest.mark.slow
def test_a_place_without_room_is_passed_over(site: Site, vertex: FakeVertex) -> None:
    vertex.full.add("n2-highmem-2")
    vertex.quota.add("n1-highmem-2")
    site.agent("desk", launchers={"far": far()})
    info = site.end_of(site.submit(SPEC, runs_on="far"))
    assert (info.status, info.exit_code) == ("failed", 5)
    assert "far has no room" in info.error
    assert len(vertex.jobs) == 2  # n2 in both regions; n1 was refused by quota
    vertex.quota.clear()
    assert site.end_of(site.submit(SPEC, runs_on="far")).status == "done"


@pytest.mark.parametrize(
    ("fault", "text"),
    [("dies", "it died, as a test asked for"), ("missing", "manifest unknown"), ("hangs", "did not begin within 1 s")],
)
def test_a_container_that_does_not_begin_says_why(site: Site, docker: FakeDocker, fault: str, text: str) -> None:
    docker.say("fault", fault)
    site.agent("desk", launchers={"box": box(site, boot_s=1 if fault == "hangs" else 600)})
    info = site.end_of(site.submit(SPEC, runs_on="box"))
    assert info.status in ("failed", "refused")
    assert text in info.error
    wait_for(lambda: not docker.names())


def test_a_job_that_fails_before_its_container_says_why(site: Site, vertex: FakeVertex) -> None:
    vertex.fails = "Failed to pull image eu/swath:0.2"
    site.agent("desk", launchers={"far": far()})
    info = site.end_of(site.submit(SPEC, runs_on="far"))
    assert (info.status, info.exit_code) == ("failed", 5)
    assert "Failed to pull image" in info.error


def test_a_cancel_reaches_a_job_that_waits_for_a_machine(site: Site, vertex: FakeVertex) -> None:
    vertex.never = True
    site.agent("desk", launchers={"far": far()})
    run = site.submit(SPEC, runs_on="far")
    wait_for(lambda: vertex.jobs)
    site.server.client.cancel(run, "wrong area")
    info = site.end_of(run)
    assert (info.status, info.error) == ("interrupted", "cancelled by ada: wrong area")
    assert [vertex.seen(name)["state"] for name in vertex.jobs] == ["JOB_STATE_CANCELLED"]


@pytest.mark.slow
def test_a_cancel_reaches_a_run_in_a_container(site: Site, docker: FakeDocker) -> None:
    spec, _ = site.held()
    site.agent("desk", launchers={"box": box(site)})
    run = site.submit(spec, runs_on="box")
    site.wait_began()
    site.server.client.cancel(run, "wrong area")
    assert site.end_of(run).status == "interrupted"
    wait_for(lambda: not docker.names())


@pytest.mark.slow
def test_a_machine_that_is_taken_ends_its_run_with_its_state_written(site: Site, docker: FakeDocker) -> None:
    spec, _ = site.held()
    site.agent("desk", launchers={"box": box(site)})
    run = site.submit(spec, runs_on="box")
    site.wait_began()
    os.kill(docker.state(job_name(run, 1))["pid"], signal.SIGTERM)
    info = site.end_of(run)
    assert (info.status, info.exit_code) == ("terminated", 143)


@pytest.mark.slow
def test_a_job_that_is_killed_is_told_and_made_again_where_that_was_asked_for(site: Site, docker: FakeDocker) -> None:
    spec, hold = site.held()
    site.agent("desk", launchers={"box": box(site)})
    run = site.submit(spec, runs_on="box", attempts=2, when_lost="again")
    site.wait_began()
    os.killpg(docker.state(job_name(run, 1))["pid"], signal.SIGKILL)
    wait_for(lambda: docker.state(job_name(run, 2)))
    for file in site.folder.glob(
        "**/attempts/*.1/run.json"
    ):  # a container's processes end with it; here the run is one of this machine
        with_pid = file.read_text()
        os.kill(int(with_pid.split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    hold.unlink()
    info = site.end_of(run)
    assert (info.status, info.attempt) == ("done", 2), info.error


def test_runs_wait_for_an_agent_with_their_launcher(site: Site) -> None:
    site.agent("desk")
    run = site.submit(SPEC, runs_on="box")
    wait_for(lambda: site.server.client.agents())
    assert site.server.client.run(run).waits_for == "no connected agent has a launcher box"
    assert site.server.client.run(run).labels == ()


def test_the_token_of_a_definition_is_worthless_once_the_attempt_was_heard_of(site: Site) -> None:
    run = site.submit(SPEC)
    agent = Client(site.server.url, site.server.agent_token("x"), ClientLimits(tries=1))
    from swath.protocol.messages import AgentRegistration

    known = agent.register(AgentRegistration(name="x", session="12345678", slots=1, version="0.2.0"))
    work = agent.claim(known.id, Claim(session="12345678", claim="c" * 20))
    assert work is not None
    launched = Client(site.server.url, work.token, ClientLimits(tries=1))
    launched.beat(run, 1, started=False)
    assert site.state(run) == "claimed"
    first = launched.take_over(run, 1)
    second = launched.take_over(run, 1)  # the answer to the first was lost
    with pytest.raises(CredentialsError):
        Client(site.server.url, first.token, ClientLimits(tries=1)).beat(run, 1)
    own = Client(site.server.url, second.token, ClientLimits(tries=1))
    own.beat(run, 1)
    assert site.state(run) == "running"
    for ask in (lambda: launched.take_over(run, 1), lambda: launched.beat(run, 1, started=False)):
        with pytest.raises(CredentialsError):
            ask()
    with pytest.raises(Superseded, match="has begun already"):
        own.take_over(run, 1)


def test_names_of_jobs_are_of_one_attempt_and_fit_every_platform() -> None:
    names = [job_name(run, number) for run in ("2026-Lake.1", "2026-lake-1", "x" * 200) for number in (1, 2)]
    assert len(set(names)) == 6
    assert all(len(name) <= 63 and name == name.lower() and "." not in name for name in names)
