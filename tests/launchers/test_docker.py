"""Containers: what docker refuses is told; a definition with a secret would be refused by what plays docker here."""

from __future__ import annotations

import pytest

from swath.errors import InfrastructureError, SwathError, UsageError
from swath.launchers.docker import DockerLauncher
from swath.launchers.settings import DockerSettings
from swath.testing.launcher import job
from tests.launchers.conftest import FakeDocker

CANARY = "canary-4711"


def test_an_image_that_is_not_there_is_told(docker: FakeDocker) -> None:
    docker.say("fault", "missing")
    with pytest.raises(UsageError, match="manifest unknown") as caught:
        DockerLauncher(DockerSettings(kind="docker", image="swath:0.2")).start(job("pass"), 0)
    assert "agent's file" in caught.value.remedy


def test_options_are_those_of_the_agents_file(docker: FakeDocker) -> None:
    settings = DockerSettings(
        kind="docker",
        image="swath:0.2",
        memory="16g",
        cpus=4,
        gpus="all",
        network="host",
        volumes=("/srv:/var/lib/swath",),
    )
    DockerLauncher(settings).start(job("pass", TOKEN="x"), 0)
    (called,) = [line for line in (docker.folder / "calls").read_text().splitlines() if line.startswith("run ")]
    for words in (
        "--memory 16g",
        "--cpus 4",
        "--gpus all",
        "--network host",
        "--volume /srv:/var/lib/swath",
        "--env TOKEN swath:0.2",
    ):
        assert words in called


def test_a_docker_that_does_not_answer_is_told_as_such(docker: FakeDocker) -> None:
    launcher = DockerLauncher(DockerSettings(kind="docker", image="swath:0.2"))
    docker.say("fault", "away")
    with pytest.raises(InfrastructureError, match="Is the docker daemon running"):
        launcher.check()
    with pytest.raises(InfrastructureError):
        launcher.start(job("pass"), 0)


def test_a_definition_with_a_secret_is_refused_here(docker: FakeDocker) -> None:
    """So that the tests of runs in containers prove that no definition has one."""
    docker.say("canary", CANARY)
    with pytest.raises(SwathError, match="secret in it"):
        DockerLauncher(DockerSettings(kind="docker", image="swath:0.2")).start(job("pass", TOKEN=CANARY), 0)
