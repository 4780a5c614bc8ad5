"""The bucket, the repository of images and the firewall rules of a Google Cloud project."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.account import google_access
from swath.cluster.account.google_places import FirewallRule, GoogleBucket, GoogleRepository
from swath.cluster.account.part import STAGED_DAYS, UPLOAD_DAYS, PartState
from swath.cluster.providers.gcp.google_api import GoogleApi
from swath.errors import InfrastructureError, UsageError
from tests.cluster.account.fake_google import PROJECT, FakeProject, use

HERE, VPN = "192.0.2.7/32", "198.51.100.0/24"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> FakeProject:
    project = FakeProject()
    use(project, monkeypatch)
    monkeypatch.setattr(google_access, "POLL_S", 0.0)
    return project


def bucket(**fields: Any) -> GoogleBucket:
    storage = GoogleApi(PROJECT, "storage", "v1", "Google Storage")
    return GoogleBucket(storage, "acme-maps", "maps", "europe-west4", **fields)


def rule(*ranges: str, name: str = "swath-scheduler", ports: str = "8786") -> FirewallRule:
    return FirewallRule(GoogleApi(PROJECT, "compute", "v1", "Compute Engine"), name, "default", ports, ranges)


def test_a_bucket_is_closed_and_removes_staged_files_and_cut_uploads(google: FakeProject) -> None:
    bucket().make()
    made = google.buckets["acme-maps"]
    access = made["iamConfiguration"]
    assert access == {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
    stale, cut = made["lifecycle"]["rule"]
    assert stale["condition"] == {"age": STAGED_DAYS, "matchesPrefix": ["maps/stage/"]}
    assert cut["condition"] == {"age": UPLOAD_DAYS}
    assert bucket().look() == PartState("there", ours=True)
    written = bucket().terraform()["google_storage_bucket"]["maps"]
    assert written["uniform_bucket_level_access"] is True
    assert [each["action"]["type"] for each in written["lifecycle_rule"]] == [
        "Delete",
        "AbortIncompleteMultipartUpload",
    ]


def test_changed_rules_are_changed_back_and_no_second_bucket_is_made(google: FakeProject) -> None:
    bucket().make()
    changed: tuple[Any, ...] = (None, {"rule": []})
    for lifecycle in changed:
        google.buckets["acme-maps"]["lifecycle"] = lifecycle
        assert bucket().look().state == "different"
        assert bucket().look().ours
    bucket().make()
    assert bucket().look().state == "there"
    assert google.done == ["buckets.insert", "buckets.patch"]


def test_a_bucket_of_others_keeps_its_rules_and_another_region_is_told(google: FakeProject) -> None:
    bucket().make()
    google.buckets["acme-maps"]["location"] = "US-WEST1"
    assert bucket().look() == PartState(
        "there", "it is in us-west1: traffic with machines in europe-west4 is paid", True
    )
    google.buckets["acme-maps"] |= {"labels": None, "lifecycle": None}
    assert bucket().look().note.startswith("not made by a setup: its rules stay; it is in us-west1")
    assert not bucket().look().ours
    google.buckets["acme-maps"]["location"] = "EUROPE-WEST4"
    assert bucket().look() == PartState("there", "not made by a setup: its rules stay")


@pytest.mark.parametrize("access", [None, {"uniformBucketLevelAccess": {"enabled": False}}, {}])
def test_a_bucket_without_uniform_access_is_refused(google: FakeProject, access: dict[str, Any] | None) -> None:
    bucket().make()
    google.buckets["acme-maps"]["iamConfiguration"] = access
    with pytest.raises(UsageError, match="uniform"):
        bucket().look()


def test_a_bucket_with_content_stays_unless_it_may_go(google: FakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[tuple[str, str]] = []
    places = "swath.cluster.account.google_places"
    monkeypatch.setattr(f"{places}.kept_content", lambda scheme, name: f"{scheme}://{name} has content")
    monkeypatch.setattr(f"{places}.remove_content", lambda scheme, name: emptied.append((scheme, name)))
    bucket().make()
    assert bucket().kept() == "gs://acme-maps has content"
    assert bucket(with_content=True).kept() == ""
    bucket(with_content=True).remove()
    bucket().remove()
    assert (emptied, google.buckets) == ([("gs", "acme-maps")], {})
    assert bucket().look() == PartState("missing")


def test_a_repository_is_made_and_removed(google: FakeProject) -> None:
    part = GoogleRepository(GoogleApi(PROJECT, "artifactregistry", "v1", "Artifact Registry"), "europe-west4")
    assert part.look() == PartState("missing")
    google.slow = [{"name": "projects/p/locations/l/operations/1", "done": False}, {"name": "x", "done": True}]
    part.make()
    assert google.slow == []
    assert part.look() == PartState("there", ours=True)
    google.repositories["swath"]["labels"] = None
    assert part.look() == PartState("there")
    google.slow = [{"name": "projects/p/locations/l/operations/2", "done": True, "error": {"message": "in use"}}]
    with pytest.raises(InfrastructureError, match="in use"):
        part.remove()
    part.remove()
    assert part.look() == PartState("missing")


def test_a_rule_lets_in_the_given_ranges_or_machines_of_runs(google: FakeProject) -> None:
    scheduler, machines = rule(HERE, VPN), rule(name="swath-machines", ports="0-65535")
    assert f"tcp 8786 from {HERE}, {VPN}" in scheduler.title
    assert "from machines of runs" in machines.title
    for each in (scheduler, machines):
        assert each.look() == PartState("missing")
        each.make()
        assert each.look() == PartState("there", ours=True)
    assert google.rules["swath-scheduler"]["sourceRanges"] == [HERE, VPN]
    assert google.rules["swath-machines"]["sourceTags"] == ["swath"]
    assert rule(VPN, HERE).look().state == "there", "the order of ranges says nothing"


@pytest.mark.parametrize(
    ("key", "had"),
    [
        ("sourceRanges", [VPN]),
        ("sourceTags", ["swath"]),
        ("targetTags", ["web"]),
        ("allowed", [{"IPProtocol": "tcp", "ports": ["1-9000"]}]),
        ("targetTags", None),
    ],
)
def test_each_difference_of_a_rule_is_changed_back(google: FakeProject, key: str, had: Any) -> None:
    rule(HERE).make()
    google.rules["swath-scheduler"][key] = had
    assert rule(HERE).look() == PartState("different", f"{key} was {had or []}", True)
    if key != "sourceTags":
        rule(HERE).make()
        assert rule(HERE).look().state == "there"
        assert google.done == ["firewalls.insert", "firewalls.patch"]


def test_a_rule_of_others_is_not_a_setups(google: FakeProject) -> None:
    rule(HERE).make()
    google.rules["swath-scheduler"]["description"] = "by hand"
    assert rule(HERE).look() == PartState("there")
    google.rules["swath-scheduler"]["targetTags"] = []
    assert not rule(HERE).look().ours
    rule(HERE).remove()
    rule(HERE).remove()
    assert rule(HERE).look() == PartState("missing")


def test_a_change_of_the_firewall_is_waited_for(google: FakeProject) -> None:
    google.slow = [{"name": "o", "done": False, "status": "PENDING"}, {"name": "o", "done": False, "status": "DONE"}]
    rule(HERE).make()
    assert google.slow == []
    google.slow = [{"name": "o", "done": False, "status": "RUNNING"}, {"name": "o", "done": False, "status": "DONE"}]
    rule(HERE).remove()
    assert google.slow == []


def test_terraform_opens_the_ports_to_ranges_or_to_machines() -> None:
    assert rule(HERE).terraform()["google_compute_firewall"]["swath_scheduler"]["source_ranges"] == [HERE]
    assert rule().terraform()["google_compute_firewall"]["swath_scheduler"]["source_tags"] == ["swath"]
