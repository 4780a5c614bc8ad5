"""APIs, the account of machines, roles and bindings of a Google Cloud project: what counts as different, and how it is changed back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from swath.cluster.account import google_access
from swath.cluster.account.google_access import (
    APIS,
    CustomRole,
    EnabledApis,
    Policy,
    RoleBinding,
    WorkerAccount,
    finished,
    found,
)
from swath.cluster.account.part import PartState
from swath.cluster.providers.gcp.errors import GceError
from swath.cluster.providers.gcp.google_api import GoogleApi
from swath.errors import CredentialsError, InfrastructureError
from tests.cluster.account.fake_google import PROJECT, FakeProject, use

CONDITION = {"title": "below", "expression": "resource.name == 'x'"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> FakeProject:
    project = FakeProject()
    use(project, monkeypatch)
    monkeypatch.setattr(google_access, "POLL_S", 0.0)
    return project


def api(service: str = "iam", version: str = "v1") -> GoogleApi:
    return GoogleApi(PROJECT, service, version, service)


def error(status: int, message: str) -> GceError:
    return GceError(message, status=status)


def test_nothing_is_there_where_the_api_is_not_enabled_and_other_refusals_are_errors(
    google: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> Any:
        return found(api(), lambda service: service.projects().roles().get(name="projects/p/roles/r"))

    assert ask() is None
    google.disabled = {"iam"}
    assert ask() is None
    for status, message, kind in ((500, "backend error", GceError), (403, "forbidden", CredentialsError)):
        monkeypatch.setattr(google, "answer", lambda *_, a=(status, {"error": {"message": message}}): a)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's own retries
        with pytest.raises(kind):
            ask()


def test_an_operation_is_waited_for_until_it_is_done(google: FakeProject) -> None:
    google.disabled = {"iam"}
    running = {"name": "operations/1", "done": False}
    google.slow = [running, running, {"name": "operations/1", "done": True}]
    EnabledApis(api("serviceusage")).make()
    assert google.slow == []


@pytest.mark.parametrize(
    ("problem", "said"),
    [({"message": "no quota"}, "no quota"), ({"errors": [{"message": "first"}, {"message": "second"}]}, "first")],
)
def test_an_operation_that_fails_is_an_error(google: FakeProject, problem: dict[str, Any], said: str) -> None:
    with pytest.raises(InfrastructureError, match=f"op failed: {said}"):
        finished(api(), {"name": "op", "status": "DONE", "error": problem}, lambda service, name: None)


def test_an_operation_that_does_not_end_is_an_error(google: FakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_access, "OPERATION_S", -1.0)
    with pytest.raises(InfrastructureError, match="op has not ended"):
        finished(api(), {"name": "op"}, lambda service, name: None)


def test_errors_that_go_away_by_themselves() -> None:
    part = WorkerAccount(api())
    assert part.unsettled(error(409, "there were changes"))
    assert part.unsettled(error(400, "Role x does not exist."))
    assert part.unsettled(error(403, "IAM API has not been used in project p"))
    assert not part.unsettled(error(400, "wrong"))
    assert not part.unsettled(InfrastructureError("does not exist"))
    assert part.kept() == ""


def test_apis_that_are_not_enabled_are_named_and_enabled(google: FakeProject) -> None:
    part = EnabledApis(api("serviceusage"))
    assert part.look() == PartState("there", ours=True)
    google.disabled = {"iam", "compute"}
    assert part.look() == PartState("missing", "compute, iam")
    part.make()
    assert google.disabled == set()
    part.remove()
    assert google.disabled == set()
    written = part.terraform()["google_project_service"]
    assert list(written) == list(APIS)
    assert not any(each["disable_on_destroy"] for each in written.values())


def test_an_account_of_others_is_not_a_setups(google: FakeProject) -> None:
    part = WorkerAccount(api())
    part.make()
    assert part.look() == PartState("there", ours=True)
    google.accounts[part.email]["description"] = "by hand"
    assert part.look() == PartState("there")
    del google.accounts[part.email]["description"]
    assert part.look() == PartState("there")


def test_a_role_with_other_permissions_is_changed_back(google: FakeProject) -> None:
    part = CustomRole(api(), "swathWorker", "gcp-worker")
    part.make()
    role = google.roles[part.name]
    assert part.look() == PartState("there", ours=True)
    wanted = list(role["includedPermissions"])
    role["includedPermissions"] = ["a.b.c", *wanted[1:]]
    assert part.look() == PartState("different", f"changes {', '.join(sorted(['a.b.c', wanted[0]]))}", True)
    part.make()
    assert part.look().state == "there"
    assert google.done == ["roles.create", "roles.patch"]
    role["description"] = "by hand"
    assert not part.look().ours
    part.remove()
    assert part.look() == PartState("missing")
    part.make()
    assert part.look() == PartState("there", ours=True)
    assert google.done[2:] == ["roles.delete", "roles.undelete", "roles.patch"]


class Resource:
    """A policy, or none."""

    def __init__(self, *bindings: dict[str, Any]) -> None:
        self.policy: Policy | None = {"etag": "e", "bindings": list(bindings)}

    def get(self) -> Policy | None:
        return copy.deepcopy(self.policy)

    def set(self, policy: Policy) -> None:
        self.policy = policy

    def binding(self, *members: str, condition: dict[str, str] | None = None, own: bool = True) -> RoleBinding:
        return RoleBinding("a", "roles/x", list(members), self.get, self.set, "kind", {"project": "p"}, condition, own)


def test_a_member_that_lacks_is_added_and_others_stay() -> None:
    resource = Resource({"role": "roles/x", "members": ["user:b"]}, {"role": "roles/y", "members": ["user:c"]})
    part = resource.binding("user:a", "user:b")
    assert part.look() == PartState("different", "adds user:a", True)
    part.make()
    assert part.look() == PartState("there", ours=True)
    assert resource.policy == {
        "etag": "e",
        "version": 3,
        "bindings": [
            {"role": "roles/x", "members": ["user:b", "user:a"]},
            {"role": "roles/y", "members": ["user:c"]},
        ],
    }
    part.remove()
    assert resource.policy["bindings"] == [{"role": "roles/y", "members": ["user:c"]}]
    assert resource.policy["version"] == 3
    part.remove()
    assert part.look() == PartState("missing")


def test_a_role_with_another_condition_is_another_binding() -> None:
    resource = Resource({"role": "roles/x", "members": ["user:a"]})
    part = resource.binding("user:a", condition=CONDITION)
    assert part.look() == PartState("missing")
    part.make()
    assert part.look().state == "there"
    assert resource.policy is not None
    assert [each.get("condition") for each in resource.policy["bindings"]] == [None, CONDITION]
    resource.binding("user:a").remove()
    assert [each.get("condition") for each in resource.policy["bindings"]] == [CONDITION]


def test_a_resource_that_is_not_there_has_no_binding() -> None:
    resource = Resource()
    resource.policy = None
    assert resource.binding("user:a").look() == PartState("missing")
    resource.binding("user:a").remove()
    assert resource.policy is None
    foreign = Resource({"role": "roles/x", "members": ["user:a"]}).binding("user:a", own=False)
    assert foreign.look() == PartState("there", ours=False)
    assert Resource({"role": "roles/x", "members": []}).binding("user:a", own=False).look().ours is False


def test_terraform_has_one_resource_for_each_member() -> None:
    part = Resource().binding("user:a", "user:b", condition=CONDITION)
    part.reference, part.in_terraform = "${role}", {"user:b": "${account}"}
    named = part.terraform()["kind"]
    assert {name: (each["role"], each["member"]) for name, each in named.items()} == {
        "x_1": ("${role}", "user:a"),
        "x_2": ("${role}", "${account}"),
    }
    assert named["x_1"]["condition"] == CONDITION
    plain = Resource().binding("user:a").terraform()["kind"]["x_1"]
    assert plain == {"project": "p", "role": "roles/x", "member": "user:a"}
