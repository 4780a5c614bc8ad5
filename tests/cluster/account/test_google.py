"""All parts of a Google Cloud project: made once, looked at, changed back, removed; settings; whose rights they are."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.account.google import SELF_REMOVAL, GoogleProject
from swath.cluster.account.part import SettleLimits, look_at, make_parts, remove_parts, to_remove
from swath.cluster.account.wanted import WantedAccount
from swath.errors import UsageError
from tests.cluster.account.fake_google import PROJECT, FakeProject, use

WANTED: dict[str, Any] = {
    "region": "europe-west4",
    "bucket": "acme-maps",
    "prefix": "maps/rivers",
    "allow": ("192.0.2.7/32",),
    "client": "user:me@acme.org",
}
MACHINES = f"serviceAccount:swath-worker@{PROJECT}.iam.gserviceaccount.com"


def account(*, self_removal: bool = False, **fields: Any) -> GoogleProject:
    return GoogleProject(PROJECT, WantedAccount(**WANTED | fields), self_removal)


def said(done: str, part: object) -> None:
    """Nothing."""


def make(project: GoogleProject) -> None:
    make_parts(look_at(project.parts()), said, SettleLimits(pause_s=0))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> FakeProject:
    project = FakeProject()
    project.bare()
    use(project, monkeypatch)
    monkeypatch.setattr("swath.cluster.account.google_places.kept_content", lambda scheme, bucket: "")
    return project


def test_a_setup_makes_all_parts_once_and_a_removal_leaves_only_the_apis(google: FakeProject) -> None:
    project = account(self_removal=True)
    parts = project.parts()
    assert {state.state for _, state in look_at(parts)} == {"missing"}
    make(project)
    assert {(state.state, state.ours) for _, state in look_at(parts)} == {("there", True)}
    done = len(google.done)
    make(project)
    assert len(google.done) == done
    listed = to_remove(look_at(parts))
    assert [part.title for part, reason in listed if reason] == [parts[0].title]
    remove_parts([part for part, reason in listed if not reason], said)
    left = google.state()
    assert not any(left[what] for what in ("roles", "accounts", "buckets", "repositories"))
    assert [name for name in left["rules"] if name.startswith("swath")] == []
    assert all(not each["bindings"] for each in google.policies.values())
    make(project)  # roles that were deleted are taken back
    assert {state.state for _, state in look_at(parts)} == {"there"}


def test_members_have_their_roles_on_what_they_need_and_nothing_more(google: FakeProject) -> None:
    make(account(self_removal=True))
    bound = {
        (resource.partition("/")[0], each["role"].rpartition("/")[2]): (each["members"], each.get("condition"))
        for resource, policy in google.policies.items()
        for each in policy["bindings"]
    }
    client, objects = WANTED["client"], bound["buckets", "swathWorker"]
    assert bound.pop(("projects", "swathClient")) == ([client], None)
    assert bound.pop(("accounts", "iam.serviceAccountUser")) == ([client], None)
    assert bound.pop(("repositories", "artifactregistry.reader")) == ([MACHINES], None)
    assert bound.pop(("projects", "swathSelfRemoval")) == ([MACHINES], SELF_REMOVAL)
    assert bound.pop(("buckets", "swathWorker")) == objects
    assert objects[0] == [client, MACHINES]
    assert "acme-maps/objects/maps/rivers/" in objects[1]["expression"]
    assert not bound


def test_machines_delete_machines_only_where_that_was_asked_for_and_a_removal_takes_it_away(
    google: FakeProject,
) -> None:
    usual = len(account().parts())
    assert len(account(self_removal=True).parts()) == len(account(removing=True).parts()) == usual + 2


def test_the_network_is_the_named_one_or_the_default_one(google: FakeProject) -> None:
    for named, network in (("", "default"), ("vpc-1", "vpc-1")):
        scheduler, machines = account(network=named).parts()[-2:]
        assert vars(scheduler)["network"] == vars(machines)["network"] == network
        assert vars(scheduler)["ranges"] == ("192.0.2.7/32",)


def test_the_rights_are_for_who_signs_in(google: FakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Google does not say whose credentials"):
        account(client="").parts()
    assert vars(account(client="", removing=True).parts()[4])["members"] == ["client"]
    monkeypatch.setattr("swath.cluster.account.google.GoogleApi.account", "ci@acme.iam.gserviceaccount.com")
    assert vars(account(client="").parts()[4])["members"] == ["serviceAccount:ci@acme.iam.gserviceaccount.com"]
    with pytest.raises(UsageError, match="who will run pipelines"):
        account(client="").parts(offline=True)


def test_settings_name_what_was_made(google: FakeProject) -> None:
    google.disabled.clear()
    settings = account(network="vpc-1").settings()
    assert settings["results"] == "gs://acme-maps/maps/rivers/results"
    cluster = settings["clusters"]["cloud"]
    assert (cluster["zone"], cluster["zones"]) == ("europe-west4-a", ["europe-west4-b", "europe-west4-c"])
    assert cluster["network"] == "vpc-1"
    assert cluster["service_account"] == MACHINES.partition(":")[2]
    assert cluster["image"].startswith(f"europe-west4-docker.pkg.dev/{PROJECT}/swath/swath:")
    assert cluster["workers"] == {"min": 1, "max": 4}


def test_settings_without_an_answer_have_a_zone_that_every_region_has(
    google: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for status in (404, 403):
        monkeypatch.setattr(google, "answer", lambda *_, status=status: (status, {"error": {"message": "permission"}}))
        cluster = account().settings()["clusters"]["cloud"]
        assert cluster["zone"] == "europe-west4-b"
        assert not {"zones", "network"} & cluster.keys()


@pytest.mark.parametrize("project", ["../x", "Acme-project", "short", "a" * 31, "ends-in-hyphen-"])
def test_what_is_no_id_of_a_project_is_refused(project: str) -> None:
    with pytest.raises(UsageError, match="no id of a project"):
        GoogleProject(project, WantedAccount(**WANTED))
