"""Custom jobs of Vertex AI: places, answers that were lost, permissions."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml

from swath.errors import CredentialsError, InfrastructureError, SwathError
from swath.launchers.contract import JobRequest, NoRoom
from swath.launchers.settings import VertexSettings
from swath.launchers.vertex import VertexLauncher
from swath.testing.launcher import AGENT, FOREVER, job
from tests.launchers.fake_vertex import FakeVertex
from tests.waiting import until

CANARY = "canary-4711"
ROOT = Path(__file__).parents[2]


def launcher_of(vertex: FakeVertex) -> VertexLauncher:
    settings = VertexSettings(
        kind="vertex", project="p", region=("europe-west4", "europe-west1"), image="eu/swath:0.2",
        machine=("n2-highmem-2", "n1-highmem-2"),
        service_account="run@p.iam.gserviceaccount.com", spot=True, limit_s=3600,
    )  # fmt: skip
    return VertexLauncher(settings)


def test_places_are_regions_with_their_machine_types_in_order(vertex: FakeVertex) -> None:
    vertex.quota.add("n2-highmem-2")
    vertex.full.add("europe-west4")
    launcher = launcher_of(vertex)
    with pytest.raises(NoRoom, match="Quota exceeded"):
        launcher.start(job("pass"), 0)
    second = launcher.start(job("pass"), 1)
    assert second is not None
    with pytest.raises(NoRoom, match="insufficient"):
        launcher.state(second)
    with pytest.raises(NoRoom):
        launcher.start(job("pass"), 2)
    fourth = launcher.start(job("pass"), 3)
    assert fourth is not None
    assert "locations/europe-west1" in fourth
    assert vertex.jobs[fourth]["machine"] == "n1-highmem-2"
    assert launcher_of(vertex).start(JobRequest("swath-other", "desk", ("true",), {}), 4) is None


def test_a_job_of_vertex_has_its_own_account_limit_and_end(vertex: FakeVertex) -> None:
    name = launcher_of(vertex).start(job("pass"), 1)
    assert name is not None
    spec = vertex.jobs[name]["jobSpec"]
    assert spec["serviceAccount"] == "run@p.iam.gserviceaccount.com"
    assert spec["scheduling"] == {
        "timeout": "3600s", "maxWaitDuration": "1800s", "disableRetries": True, "restartJobOnWorkerRestart": False,
        "strategy": "SPOT",
    }  # fmt: skip


@pytest.mark.parametrize("lost", [1, 2])
def test_a_creation_whose_answer_was_lost_is_found_and_one_that_was_sent_again_is_cancelled(
    vertex: FakeVertex, lost: int
) -> None:
    """httplib2 sends a request again when the connection breaks."""
    vertex.lost = lost
    launcher = launcher_of(vertex)
    request = job(FOREVER)
    with contextlib.suppress(InfrastructureError):
        launcher.start(request, 1)
    name = launcher.start(request, 1)
    until(lambda: sum(vertex.seen(each)["state"] == "JOB_STATE_RUNNING" for each in vertex.jobs) == 1)
    assert launcher.jobs_of(AGENT) == (name,)


def test_the_agents_role_has_every_permission_that_it_needs_and_no_other(vertex: FakeVertex) -> None:
    launcher = launcher_of(vertex)
    launcher.check()
    name = launcher.start(job(FOREVER), 1)
    assert name is not None
    launcher.stop(name)
    until(lambda: launcher.state(name).phase == "gone")
    role = yaml.safe_load((ROOT / "infra/iam/gcp-vertex-agent.yaml").read_text())
    assert sorted(set(vertex.calls)) == role["includedPermissions"]


def test_an_agent_without_permission_is_told_where_they_are(vertex: FakeVertex) -> None:
    vertex.denied = True
    with pytest.raises(CredentialsError, match="Permission") as caught:
        launcher_of(vertex).check()
    assert "infra/iam" in caught.value.remedy


def test_a_service_that_does_not_answer_is_told_as_such(vertex: FakeVertex) -> None:
    vertex.broken = 100
    with pytest.raises(InfrastructureError):
        launcher_of(vertex).start(job("pass"), 0)


def test_a_definition_with_a_secret_is_refused_here(vertex: FakeVertex) -> None:
    """So that the tests of runs on Vertex AI prove that no definition has one."""
    vertex.canary = CANARY
    with pytest.raises(SwathError, match="secret in it"):
        launcher_of(vertex).start(job("pass", TOKEN=CANARY), 0)
