"""Jobs of Kubernetes: pods that do not start, answers that were lost, permissions. The conformance suite is in tests/testing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from swath.cluster.providers.kubernetes.api import KubernetesApi
from swath.errors import CredentialsError, InfrastructureError, UsageError
from swath.launchers.contract import NoRoom
from swath.launchers.kubernetes import RIGHTS, KubernetesLauncher
from swath.launchers.settings import KubernetesSettings
from swath.testing.launcher import AGENT, FOREVER, job
from tests.launchers.conftest import image
from tests.launchers.fake_kubernetes import FakeKubernetesJobs
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[FakeKubernetesJobs]:
    fake = FakeKubernetesJobs(tmp_path, image(tmp_path))
    yield fake
    fake.close()


def launcher_of(jobs: FakeKubernetesJobs, **settings: Any) -> KubernetesLauncher:
    made = {"kind": "kubernetes", "namespace": "runs", "image": "ghcr.io/acme/swath:1", **settings}
    return KubernetesLauncher(KubernetesSettings.model_validate(made), cast("KubernetesApi", jobs))


def test_a_job_has_its_size_its_limit_and_one_try(jobs: FakeKubernetesJobs) -> None:
    launcher = launcher_of(
        jobs, cpu="4", memory="16Gi", gpus=1, limit_s=3600, node_selector={"cloud.google.com/gke-spot": "true"},
        tolerations=("nvidia.com/gpu",), service_account="run",
    )  # fmt: skip
    manifest = launcher.manifest(job("pass", TOKEN="x"))
    assert manifest["metadata"]["labels"] == manifest["spec"]["template"]["metadata"]["labels"]
    assert json.loads(json.dumps(manifest)) == manifest
    spec = manifest["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 3600)
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["serviceAccountName"]) == ("Never", "run")
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": "1"},
    }


def test_a_creation_whose_answer_was_lost_is_found_and_no_second_one_is_made(jobs: FakeKubernetesJobs) -> None:
    jobs.lost = 1
    launcher = launcher_of(jobs)
    assert launcher.start(job(FOREVER), 0) == job(FOREVER).name
    assert launcher.start(job(FOREVER), 0) == job(FOREVER).name
    assert launcher.jobs_of(AGENT) == tuple(jobs.jobs)
    assert len(jobs.processes) == 1


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
def test_a_pod_that_will_never_start_is_gone_with_the_platforms_words(jobs: FakeKubernetesJobs, reason: str) -> None:
    jobs.waits = {"reason": reason, "message": "manifest unknown"}
    launcher = launcher_of(jobs)
    name = launcher.start(job("pass"), 0)
    assert name is not None
    state = launcher.state(name)
    assert (state.phase, state.reason) == ("gone", f"{reason}: manifest unknown")
    launcher.remove(name)
    assert not jobs.jobs


def test_a_pod_that_waits_is_starting_and_says_for_what(jobs: FakeKubernetesJobs) -> None:
    jobs.unschedulable = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    launcher = launcher_of(jobs)
    name = launcher.start(job("pass"), 0)
    assert name is not None
    assert launcher.state(name).phase == "starting"
    assert "Insufficient nvidia.com/gpu" in launcher.state(name).reason
    launcher.stop(name)
    assert launcher.state(name).phase == "gone"


def test_a_job_that_is_stopped_is_gone_only_when_its_pod_is(jobs: FakeKubernetesJobs) -> None:
    launcher = launcher_of(jobs)
    slow = "import signal, time\nsignal.signal(15, lambda *_: print('asked', flush=True))\nprint('on', flush=True)\ntime.sleep(3600)"
    name = launcher.start(job(slow), 0)
    assert name is not None
    until(lambda: launcher.tail(name) == "on")
    launcher.stop(name)
    until(lambda: "asked" in launcher.tail(name))
    assert launcher.state(name).phase == "running"
    jobs.processes[name].kill()
    until(lambda: launcher.state(name).phase == "gone")


def test_a_namespace_without_quota_has_no_room_and_one_without_rights_is_refused(
    jobs: FakeKubernetesJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(resource: object) -> None:
        raise CredentialsError(why)

    launcher = launcher_of(jobs)
    monkeypatch.setattr(jobs, "create", refuse)
    why = 'Kubernetes does not allow it: jobs.batch "x" is forbidden: exceeded quota: compute, requested: count/jobs.batch=1'
    with pytest.raises(NoRoom, match="exceeded quota"):
        launcher.start(job("pass"), 0)
    why = "Kubernetes does not allow it: cannot create jobs"
    with pytest.raises(CredentialsError, match="kubernetes-agent"):
        launcher.start(job("pass"), 0)


def test_what_is_refused_and_what_does_not_answer_are_told_apart(jobs: FakeKubernetesJobs) -> None:
    launcher = launcher_of(jobs)
    jobs.canary = "canary-4711"
    with pytest.raises(UsageError, match="has a secret"):
        launcher.start(job("pass", KEY="canary-4711"), 0)
    jobs.away = True
    with pytest.raises(InfrastructureError, match="does not answer"):
        launcher.start(job("pass"), 0)


def test_the_agents_role_has_every_right_that_it_needs_and_no_other(jobs: FakeKubernetesJobs) -> None:
    role = yaml.safe_load((ROOT / "infra" / "iam" / "kubernetes-agent.yaml").read_text())
    given = {
        (group, resource, verb)
        for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
    }  # fmt: skip
    assert given == set(RIGHTS)
    launcher = launcher_of(jobs)
    name = launcher.start(job("print('x')"), 0)
    assert name is not None
    until(lambda: launcher.state(name).phase == "gone")
    launcher.tail(name)
    launcher.remove(name)
    assert jobs.calls == {f"{verb} {resource}" for _, resource, verb in RIGHTS}
    for right in sorted(jobs.calls):
        jobs.forbidden = (right,)
        with pytest.raises(CredentialsError, match="kubernetes-agent") as caught:
            launcher.check()
        assert right in caught.value.message
