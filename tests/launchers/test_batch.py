"""Jobs of AWS Batch: queues without machines, answers that were lost, permissions."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from swath.errors import CredentialsError, InfrastructureError, SwathError
from swath.launchers.batch import BatchLauncher
from swath.launchers.contract import NoRoom
from swath.launchers.settings import BatchSettings
from swath.testing.launcher import AGENT, FOREVER, job
from tests.launchers.fake_batch import FakeBatch
from tests.waiting import until

CANARY = "canary-4711"
ROOT = Path(__file__).parents[2]


def launcher_of(queue_s: float = 600) -> BatchLauncher:
    settings = BatchSettings(
        kind="batch", region="eu-central-1", queue=("spot", "on-demand"), definition="swath:3", vcpus=8, memory_mib=32768, gpus=1,
        limit_s=3600, queue_s=queue_s,
    )  # fmt: skip
    return BatchLauncher(settings)


def test_a_queue_without_machines_is_left_and_its_job_ended(batch: FakeBatch) -> None:
    batch.full.add("spot")
    launcher = launcher_of(queue_s=0.05)
    first = launcher.start(job("pass"), 0)
    assert first is not None

    def no_room() -> bool:
        try:
            launcher.state(first)
        except NoRoom as error:
            return "no machine came in spot" in str(error)
        return False

    until(no_room)
    assert batch.jobs[first]["status"] == "FAILED"
    second = launcher.start(job("pass"), 1)
    assert second is not None
    assert batch.jobs[second]["asked"]["jobQueue"] == "on-demand"
    assert launcher.start(job("pass", 2), 2) is None


def test_a_job_has_its_size_its_limit_and_one_try(batch: FakeBatch) -> None:
    name = launcher_of().start(job("pass"), 0)
    assert name is not None
    asked = batch.jobs[name]["asked"]
    sizes = {each["type"]: each["value"] for each in asked["containerOverrides"]["resourceRequirements"]}
    assert sizes == {"VCPU": "8", "MEMORY": "32768", "GPU": "1"}
    assert (asked["timeout"], asked["retryStrategy"]) == ({"attemptDurationSeconds": 3600}, {"attempts": 1})


@pytest.mark.parametrize("lost", [1, 2])
def test_a_submission_whose_answer_was_lost_is_found_and_a_second_one_is_ended(batch: FakeBatch, lost: int) -> None:
    batch.lost = lost
    launcher = launcher_of()
    with contextlib.suppress(InfrastructureError):
        launcher.start(job(FOREVER), 0)
    name = launcher.start(job(FOREVER), 0)
    until(lambda: sum(batch.seen(each)["status"] == "RUNNING" for each in batch.jobs) == 1)
    assert launcher.jobs_of(AGENT) == (name,)


def test_the_log_of_a_job_is_its_tail(batch: FakeBatch) -> None:
    launcher = launcher_of()
    name = launcher.start(job("print('last words')"), 0)
    assert name is not None
    until(lambda: launcher.state(name).phase == "gone")
    assert launcher.tail(name) == "last words"


def test_the_agents_policy_has_every_action_that_it_needs_and_no_other(batch: FakeBatch) -> None:
    launcher = launcher_of()
    launcher.check()
    name = launcher.start(job(FOREVER), 0)
    assert name is not None
    launcher.stop(name)
    until(lambda: launcher.state(name).phase == "gone")
    launcher.tail(name)
    statements = json.loads((ROOT / "infra/iam/aws-batch-agent.json").read_text())["Statement"]
    actions = [each["Action"] if isinstance(each["Action"], list) else [each["Action"]] for each in statements]
    names = {action.partition(":")[2].lower() for group in actions for action in group}
    assert names - {"tagresource"} == batch.calls  # tags of SubmitJob need that right, too


def test_an_agent_without_permission_is_told_where_they_are(batch: FakeBatch) -> None:
    batch.denied = True
    with pytest.raises(CredentialsError, match="AccessDenied") as caught:
        launcher_of().check()
    assert "aws-batch-agent.json" in caught.value.remedy


def test_a_service_that_does_not_answer_is_told_as_such(batch: FakeBatch) -> None:
    batch.broken = 100
    with pytest.raises(InfrastructureError):
        launcher_of().start(job("pass"), 0)


def test_a_definition_with_a_secret_is_refused_here(batch: FakeBatch) -> None:
    """So that the tests of runs on AWS Batch prove that no definition has one."""
    batch.canary = CANARY
    with pytest.raises(SwathError, match="secret in it"):
        launcher_of().start(job("pass", TOKEN=CANARY), 0)
