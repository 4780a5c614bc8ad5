"""Parts of a Google Cloud project that say who may do what: its APIs, the account of machines, roles, and their bindings."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from swath.cluster.account.part import MARK, AccountPart, PartState, Terraform
from swath.cluster.account.policies import google_document
from swath.cluster.providers.gcp.errors import GceError
from swath.cluster.providers.gcp.google_api import GoogleApi, Request, Response
from swath.errors import InfrastructureError, SwathError

APIS = ("artifactregistry", "cloudresourcemanager", "compute", "iam", "storage")
"""That runs and a setup use."""
WORKER = "swath-worker"
NOT_FOUND, CONFLICT = 404, 409
OPERATION_S, POLL_S = 300.0, 1.0
_DISABLED = re.compile(r"accessNotConfigured|SERVICE_DISABLED|has not been used|is disabled", re.IGNORECASE)
_UNSETTLED = re.compile(r"does not exist|not found|concurrent policy changes", re.IGNORECASE)

Policy: TypeAlias = dict[str, Any]
"""An IAM policy of Google's: version, etag, bindings."""


def found(api: GoogleApi, request: Request) -> Response | None:
    """The response; None when there is no such thing, or its API is not enabled yet."""
    try:
        return api.call(request)
    except GceError as error:
        if error.status == NOT_FOUND or _DISABLED.search(error.message):
            return None
        raise


def finished(api: GoogleApi, operation: Response, get: Callable[[Any, str], Any]) -> None:
    """Wait for the end of an operation. Raises InfrastructureError when it fails, or takes too long."""
    deadline = time.monotonic() + OPERATION_S
    while not (operation.get("done") or operation.get("status") == "DONE"):
        if time.monotonic() > deadline:
            raise InfrastructureError(f"{operation.get('name')} has not ended after {OPERATION_S:g} s")
        time.sleep(POLL_S)
        name = operation["name"]
        operation = api.call(lambda service, name=name: get(service, name))  # type: ignore[misc]
    if problem := operation.get("error"):
        errors = problem.get("errors") or [problem]
        raise InfrastructureError(f"{operation.get('name')} failed: {errors[0].get('message')}")


class GooglePart:
    """What all parts of a project share."""

    def kept(self) -> str:
        return ""

    def unsettled(self, error: SwathError) -> bool:
        return isinstance(error, GceError) and (
            error.status == CONFLICT
            or _DISABLED.search(error.message) is not None
            or _UNSETTLED.search(error.message) is not None
        )


@dataclass
class EnabledApis(GooglePart):
    """The APIs of a project. They stay enabled when the rest is removed: others may use them."""

    usage: GoogleApi
    title: str = f"APIs {', '.join(APIS)}"

    def look(self) -> PartState:
        missing = self._missing()
        return PartState("missing", ", ".join(missing)) if missing else PartState("there", ours=True)

    def make(self) -> None:
        body = {"serviceIds": [f"{name}.googleapis.com" for name in self._missing()]}
        operation = self.usage.call(
            lambda service: service.services().batchEnable(parent=f"projects/{self.usage.project}", body=body)
        )
        finished(self.usage, operation, lambda service, name: service.operations().get(name=name))

    def kept(self) -> str:
        return "others may use them"

    def remove(self) -> None:
        """Nothing."""

    def terraform(self) -> Terraform:
        each = {"project": self.usage.project, "disable_on_destroy": False}
        return {"google_project_service": {name: {**each, "service": f"{name}.googleapis.com"} for name in APIS}}

    def _missing(self) -> list[str]:
        names = [f"projects/{self.usage.project}/services/{name}.googleapis.com" for name in APIS]
        got = self.usage.call(
            lambda service: service.services().batchGet(parent=f"projects/{self.usage.project}", names=names)
        )
        enabled = {each["name"].rpartition("/")[2] for each in got.get("services", []) if each["state"] == "ENABLED"}
        return [name for name in APIS if f"{name}.googleapis.com" not in enabled]


@dataclass
class WorkerAccount(GooglePart):
    """The service account of machines."""

    iam: GoogleApi
    title: str = f"service account {WORKER}"

    @property
    def email(self) -> str:
        return f"{WORKER}@{self.iam.project}.iam.gserviceaccount.com"

    def look(self) -> PartState:
        there = found(self.iam, lambda service: service.projects().serviceAccounts().get(name=self._name))
        if there is None:
            return PartState("missing")
        return PartState("there", ours=MARK in there.get("description", ""))

    def make(self) -> None:
        account = {"displayName": WORKER, "description": f"Machines of runs. {MARK}"}
        self.iam.call(
            lambda service: (
                service.projects()
                .serviceAccounts()
                .create(name=f"projects/{self.iam.project}", body={"accountId": WORKER, "serviceAccount": account})
            )
        )

    def remove(self) -> None:
        found(self.iam, lambda service: service.projects().serviceAccounts().delete(name=self._name))

    def terraform(self) -> Terraform:
        body = {"project": self.iam.project, "account_id": WORKER, "display_name": WORKER, "description": MARK}
        return {"google_service_account": {"worker": {**body, "depends_on": ["google_project_service.iam"]}}}

    @property
    def _name(self) -> str:
        return f"projects/{self.iam.project}/serviceAccounts/{self.email}"


@dataclass
class CustomRole(GooglePart):
    """A role of the project, from a file in infra/iam."""

    iam: GoogleApi
    role: str
    """Id, such as swathClient."""
    document: str

    @property
    def title(self) -> str:
        return f"role {self.role}"

    @property
    def name(self) -> str:
        return f"projects/{self.iam.project}/roles/{self.role}"

    def look(self) -> PartState:
        there = self._there()
        if there is None or there.get("deleted"):
            return PartState("missing")
        ours = MARK in there.get("description", "")
        changed = set(there.get("includedPermissions", [])) ^ set(self._body["includedPermissions"])
        if changed:
            return PartState("different", f"changes {', '.join(sorted(changed))}", ours)
        return PartState("there", ours=ours)

    def make(self) -> None:
        there, body, parent = self._there(), self._body, f"projects/{self.iam.project}"
        if there is None:
            request = {"roleId": self.role, "role": body}
            self.iam.call(lambda service: service.projects().roles().create(parent=parent, body=request))
            return
        if there.get("deleted"):  # for a week its name cannot be taken otherwise
            self.iam.call(lambda service: service.projects().roles().undelete(name=self.name, body={}))
        self.iam.call(lambda service: service.projects().roles().patch(name=self.name, body=body))

    def remove(self) -> None:
        found(self.iam, lambda service: service.projects().roles().delete(name=self.name))

    def terraform(self) -> Terraform:
        body = self._body
        role = {
            "project": self.iam.project,
            "role_id": self.role,
            "title": body["title"],
            "description": body["description"],
            "permissions": body["includedPermissions"],
        }
        return {"google_project_iam_custom_role": {self.role: role}}

    def _there(self) -> Response | None:
        return found(self.iam, lambda service: service.projects().roles().get(name=self.name))

    @property
    def _body(self) -> dict[str, Any]:
        body = google_document(self.document)
        return {**body, "description": f"{body['description']} {MARK}"}


@dataclass
class RoleBinding(GooglePart):
    """Members who have a role on one resource. It is removed whole: by whom the members were added is not recorded."""

    title: str
    role: str
    members: Sequence[str]
    get: Callable[[], Policy | None]
    """The policy of the resource, in version 3; None without the resource."""
    set: Callable[[Policy], object]
    kind: str
    """Terraform's type of resource."""
    place: Mapping[str, Any]
    """Its arguments that name the resource."""
    condition: Mapping[str, str] | None = None
    own: bool = True
    """Whether the role or the resource is a setup's, so that the binding is, too."""
    reference: str = ""
    """The role in Terraform."""
    in_terraform: Mapping[str, str] = field(default_factory=dict)
    """Member -> its name in Terraform, where that is another resource."""

    def look(self) -> PartState:
        bound = self._bound(self.get() or {})
        if bound is None:
            return PartState("missing")
        missing = [each for each in self.members if each not in bound["members"]]
        if missing:
            return PartState("different", f"adds {', '.join(missing)}", self.own)
        return PartState("there", ours=self.own)

    def make(self) -> None:
        policy = dict(self.get() or {})
        bindings = [dict(each) for each in policy.get("bindings", [])]
        policy |= {"version": 3, "bindings": bindings}
        bound = self._bound(policy)
        if bound is None:
            condition = {"condition": dict(self.condition)} if self.condition else {}
            bindings.append({"role": self.role, "members": list(self.members), **condition})
        else:
            bound["members"] = list(dict.fromkeys([*bound["members"], *self.members]))
        self.set(policy)

    def remove(self) -> None:
        policy = self.get()
        if policy is not None and (bound := self._bound(policy)) is not None:
            self.set({**policy, "version": 3, "bindings": [each for each in policy["bindings"] if each is not bound]})

    def terraform(self) -> Terraform:
        condition = {"condition": dict(self.condition)} if self.condition else {}
        named = {}
        for number, member in enumerate(self.members, 1):
            name = re.sub(r"\W+", "_", f"{self.role.rpartition('/')[2]}_{number}")
            body = {"role": self.reference or self.role, "member": self.in_terraform.get(member, member)}
            named[name] = {**self.place, **body, **condition}
        return {self.kind: named}

    def _bound(self, policy: Policy) -> dict[str, Any] | None:
        wanted = self.condition["expression"] if self.condition else ""
        for each in policy.get("bindings", []):
            if each["role"] == self.role and (each.get("condition") or {}).get("expression", "") == wanted:
                return each  # type: ignore[no-any-return]
        return None


_: tuple[type[AccountPart], ...] = (EnabledApis, WorkerAccount, CustomRole, RoleBinding)
