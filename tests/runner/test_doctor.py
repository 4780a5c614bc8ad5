"""The checks of the cluster that a run would use."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.doctor.finding import Finding
from swath.errors import CredentialsError, UsageError
from swath.project.project import Project
from swath.runner import doctor
from swath.runner.doctor import cluster_checks, examine
from swath.spec.clusters.cloud import AwsCluster
from swath.spec.clusters.cluster import InlineCluster


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / ".swath")


def aws(machine: str) -> AwsCluster:
    return AwsCluster(kind="aws", region="eu-central-1", image="x", security_groups=("sg-1",), machine=machine)


def test_an_unknown_cluster_is_refused_before_the_first_check(project: Project) -> None:
    with pytest.raises(UsageError, match="there is no cluster 'far'; known are local"):
        examine(project, project.root, cluster="far")


def test_a_cluster_on_this_machine_is_started_and_closed(project: Project) -> None:
    ((what, check),) = cluster_checks(project, InlineCluster())
    (found,) = check()
    assert (what, found.state) == ("cluster", "ok")
    assert found.message.startswith("inline, 1 worker, came up in ")


@pytest.mark.parametrize(("machine", "state"), [("c7i.large", "ok"), ("m9.huge", "warn")])
def test_a_cluster_in_a_cloud_has_a_price_or_a_line_that_says_how_to_give_it(
    project: Project, machine: str, state: str
) -> None:
    checks = dict(cluster_checks(project, aws(machine)))
    assert list(checks) == ["price", "cloud"]
    (found,) = checks["price"]()
    assert found.state == state
    assert "USD" in found.message


def test_an_error_in_a_check_is_a_finding_and_the_others_go_on() -> None:
    def refused() -> list[Finding]:
        raise CredentialsError("no such key", remedy="log in")

    def broken() -> list[Finding]:
        raise RuntimeError("a library")

    found = list(
        doctor._findings([("cloud", refused), ("gdal", broken), ("last", lambda: [Finding("ok", "last", "")])])
    )  # type: ignore[list-item]
    assert [(each.state, each.what, each.exit_code) for each in found] == [
        ("fail", "cloud", 4),
        ("fail", "gdal", 1),
        ("ok", "last", 0),
    ]
    assert found[0].message == "no such key;  log in"
