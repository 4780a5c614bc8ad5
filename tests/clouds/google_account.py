"""What a simulated Google Cloud project has beside machines: APIs, accounts, roles, policies, firewall rules, buckets, repositories."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.clouds.api_error import ApiError, Json
from tests.infra.policy import permissions

PathParts = dict[str, str]
DEFAULT_RULES: dict[str, Json] = {
    "default-allow-internal": {
        "sourceRanges": ["10.128.0.0/9"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["0-65535"]}, {"IPProtocol": "udp", "ports": ["0-65535"]}],
    }
}
"""Of the network `default` of a new project."""
CLIENTS: Json = {"sourceRanges": ["192.0.2.0/24"], "allowed": [{"IPProtocol": "tcp", "ports": ["8786"]}]}
DONE: Json = {"name": "operations/1", "done": True, "status": "DONE"}


class GoogleAccount:
    """One project. `storage`: address of the emulator in which buckets are made, too."""

    def __init__(self, storage: str, project: str) -> None:
        self._storage, self._project = storage, project
        self.buckets: dict[str, Json] = {}
        self.reset()

    def reset(self) -> None:
        """A project that is ready for runs, and in which everybody may do everything. Buckets stay."""
        self.disabled: set[str] = set()
        self.accounts: dict[str, Json] = {}
        self.roles: dict[str, Json] = {}
        self.policies: dict[str, Json] = {}
        self.repositories: dict[str, Json] = {}
        self.rules = {**{name: self._rule(name, body) for name, body in DEFAULT_RULES.items()}}
        self.rules["swath-clients"] = self._rule("swath-clients", CLIENTS)
        self.member = ""
        self._late: dict[str, int] = {}

    # --- control

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"bare": self.bare, "act_as": self.act_as, "account": self.state}

    def bare(self) -> None:
        """A new project: nothing is enabled but what has to be, and no connection from outside is let in."""
        self.reset()
        self.buckets.clear()
        del self.rules["swath-clients"]
        self.disabled = {"artifactregistry", "cloudresourcemanager", "compute", "iam"}

    def act_as(self, who: str) -> None:
        """From now on, clients of Compute Engine have only the rights of a member. Empty: all rights."""
        self.member = who

    def state(self) -> Json:
        return {
            "roles": {name: role for name, role in self.roles.items() if not role.get("deleted")},
            "accounts": self.accounts,
            "policies": self.policies,
            "rules": self.rules,
            "buckets": self.buckets,
            "repositories": self.repositories,
            "disabled": sorted(self.disabled),
        }

    # --- what is refused

    def check(self, service: str, action: str, path: PathParts, body: Json) -> None:
        """Raise ApiError for a service that is not enabled, and for what the member has no permission for."""
        if service in self.disabled:
            raise ApiError(
                403,
                "accessNotConfigured",
                f"{service} API has not been used in project {self._project} before or it is disabled.",
            )
        if service == "compute" and self.member:
            lacking = sorted(permissions(action, body) - self._granted())
            if lacking:
                raise ApiError(403, "forbidden", f"Required '{lacking[0]}' permission for '{path.get('name', '')}'")

    def _granted(self) -> set[str]:
        project = self.policies.get(f"projects/{self._project}", {})
        names = [each["role"] for each in project.get("bindings", []) if self.member in each["members"]]
        granted: set[str] = set()
        for name in names:
            role = self.roles.get(name, {})
            granted |= set(role.get("includedPermissions", [])) if not role.get("deleted") else set()
        return granted

    # --- services, service accounts, roles

    def services(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        names = [urllib.parse.unquote(each) for each in query["names"]]
        return {
            "services": [
                {"name": each, "state": "DISABLED" if self._short(each) in self.disabled else "ENABLED"}
                for each in names
            ]
        }

    def enable(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self.disabled -= {self._short(each) for each in body["serviceIds"]}
        return DONE

    def _short(self, name: str) -> str:
        return name.rpartition("/")[2].partition(".")[0]

    def account_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return self._of(self.accounts, path["name"])

    def account_create(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        email = f"{body['accountId']}@{self._project}.iam.gserviceaccount.com"
        self._free(self.accounts, email)
        self.accounts[email] = {"email": email, **body["serviceAccount"]}
        self._late[f"serviceAccount:{email}"] = 1  # it is not known everywhere at once
        return self.accounts[email]

    def account_delete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._of(self.accounts, path["name"])
        del self.accounts[path["name"]]
        return {}

    def role_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return self._of(self.roles, self._role(path))

    def role_create(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        name = f"projects/{self._project}/roles/{body['roleId']}"
        self._free(self.roles, name)  # also of one that was deleted: its name is taken for a week
        self.roles[name] = {"name": name, **body["role"]}
        return self.roles[name]

    def role_patch(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        role = self._of(self.roles, self._role(path))
        if role.get("deleted"):
            raise ApiError(400, "failedPrecondition", "The role is deleted")
        role |= body
        return role

    def role_delete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        role = self._of(self.roles, self._role(path))
        role["deleted"] = True
        return role

    def role_undelete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        role = self._of(self.roles, self._role(path))
        role.pop("deleted", None)
        return role

    def _role(self, path: PathParts) -> str:
        return f"projects/{self._project}/roles/{path['name']}"

    # --- policies

    def policy_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return {"etag": "e", "version": 3, **self.policies.get(self._resource(path), {})}

    def policy_set(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        policy = body.get("policy", body)
        for each in policy.get("bindings", []):
            if each.get("condition") and policy.get("version") != 3:
                raise ApiError(400, "invalidArgument", "Conditions need policy version 3.")
            custom = each["role"].startswith("projects/")
            if custom and self.roles.get(each["role"], {"deleted": True}).get("deleted"):
                raise ApiError(400, "invalidArgument", f"Role {each['role']} does not exist.")
            for member in each["members"]:
                email = member.partition(":")[2]
                if "swath-worker@" in email and (email not in self.accounts or self._late.pop(member, 0)):
                    raise ApiError(400, "invalidArgument", f"Service account {email} does not exist.")
        self.policies[self._resource(path)] = policy
        return policy

    def _resource(self, path: PathParts) -> str:
        if "bucket" in path:
            self._of(self.buckets, path["bucket"])
            return f"buckets/{path['bucket']}"
        if "location" in path:
            self._of(self.repositories, path["name"])
            return f"repositories/{path['name']}"
        if "name" in path:
            self._of(self.accounts, path["name"])
            return f"accounts/{path['name']}"
        return f"projects/{self._project}"

    # --- firewall, buckets, repositories

    def rules_list(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return {"kind": "compute#firewallList", "items": list(self.rules.values())}

    def rule_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return self._of(self.rules, path["name"])

    def rule_insert(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._free(self.rules, body["name"])
        self.rules[body["name"]] = self._rule(body["name"], body)
        return DONE

    def rule_patch(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        rule = self._of(self.rules, path["name"])
        rule |= body
        return DONE

    def rule_delete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._of(self.rules, path["name"])
        del self.rules[path["name"]]
        return DONE

    def _rule(self, name: str, body: Json) -> Json:
        network = f"https://www.googleapis.com/compute/v1/projects/{self._project}/global/networks/default"
        return {"direction": "INGRESS", **body, "name": name, "network": network}

    def bucket_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return self._of(self.buckets, path["bucket"])

    def bucket_insert(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._free(self.buckets, body["name"])
        self._emulator("POST", "/storage/v1/b", {"name": body["name"]})
        self.buckets[body["name"]] = {**body, "location": body["location"].upper()}
        return self.buckets[body["name"]]

    def bucket_patch(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        bucket = self._of(self.buckets, path["bucket"])
        bucket |= body
        return bucket

    def bucket_delete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._of(self.buckets, path["bucket"])
        if self._emulator("GET", f"/storage/v1/b/{path['bucket']}/o").get("items"):
            raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
        self._emulator("DELETE", f"/storage/v1/b/{path['bucket']}")
        del self.buckets[path["bucket"]]
        return {}

    def repository_get(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        return self._of(self.repositories, path["name"])

    def repository_create(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        name = query["repositoryId"][0]
        self._free(self.repositories, name)
        self.repositories[name] = body
        return DONE

    def repository_delete(self, path: PathParts, query: dict[str, Any], body: Json) -> Json:
        self._of(self.repositories, path["name"])
        del self.repositories[path["name"]]
        return DONE

    def _of(self, things: dict[str, Json], name: str) -> Json:
        if name not in things:
            raise ApiError(404, "notFound", f"The resource '{name}' was not found")
        return things[name]

    def _free(self, things: dict[str, Json], name: str) -> None:
        if name in things:
            raise ApiError(409, "alreadyExists", f"The resource '{name}' already exists")

    def _emulator(self, method: str, path: str, body: Json | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._storage}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 409:  # there from an earlier test
                return {}
            raise
        found: Json = json.loads(text) if text.strip() else {}
        return found


_P = r"/v1/projects/(?P<project>[^/:]+)"
_A, _R = rf"{_P}/serviceAccounts/(?P<name>[^/:]+)", rf"{_P}/roles/(?P<name>[^/:]+)"
_L = rf"{_P}/locations/(?P<location>[^/]+)/repositories"
_F = r"/compute/v1/projects/(?P<project>[^/]+)/global/firewalls"
_B = r"/storage/v1/b/(?P<bucket>[^/]+)"
Method = Callable[[GoogleAccount, PathParts, dict[str, Any], Json], Json]
ROUTES: list[tuple[str, str, str, str, Method]] = [
    ("GET", f"{_P}/services:batchGet", "serviceusage", "services.batchGet", GoogleAccount.services),
    ("POST", f"{_P}/services:batchEnable", "serviceusage", "services.batchEnable", GoogleAccount.enable),
    ("GET", _A, "iam", "serviceAccounts.get", GoogleAccount.account_get),
    ("POST", f"{_P}/serviceAccounts", "iam", "serviceAccounts.create", GoogleAccount.account_create),
    ("DELETE", _A, "iam", "serviceAccounts.delete", GoogleAccount.account_delete),
    ("POST", f"{_A}:getIamPolicy", "iam", "serviceAccounts.getIamPolicy", GoogleAccount.policy_get),
    ("POST", f"{_A}:setIamPolicy", "iam", "serviceAccounts.setIamPolicy", GoogleAccount.policy_set),
    ("GET", _R, "iam", "roles.get", GoogleAccount.role_get),
    ("POST", f"{_P}/roles", "iam", "roles.create", GoogleAccount.role_create),
    ("PATCH", _R, "iam", "roles.patch", GoogleAccount.role_patch),
    ("DELETE", _R, "iam", "roles.delete", GoogleAccount.role_delete),
    ("POST", f"{_R}:undelete", "iam", "roles.undelete", GoogleAccount.role_undelete),
    ("POST", f"{_P}:getIamPolicy", "cloudresourcemanager", "projects.getIamPolicy", GoogleAccount.policy_get),
    ("POST", f"{_P}:setIamPolicy", "cloudresourcemanager", "projects.setIamPolicy", GoogleAccount.policy_set),
    ("GET", f"{_L}/(?P<name>[^/:]+)", "artifactregistry", "repositories.get", GoogleAccount.repository_get),
    ("POST", _L, "artifactregistry", "repositories.create", GoogleAccount.repository_create),
    ("DELETE", f"{_L}/(?P<name>[^/:]+)", "artifactregistry", "repositories.delete", GoogleAccount.repository_delete),
    ("GET", f"{_L}/(?P<name>[^/:]+):getIamPolicy", "artifactregistry", "repositories.getIamPolicy", GoogleAccount.policy_get),
    ("POST", f"{_L}/(?P<name>[^/:]+):setIamPolicy", "artifactregistry", "repositories.setIamPolicy", GoogleAccount.policy_set),
    ("GET", _F, "compute", "firewalls.list", GoogleAccount.rules_list),
    ("GET", f"{_F}/(?P<name>[^/]+)", "compute", "firewalls.get", GoogleAccount.rule_get),
    ("POST", _F, "compute", "firewalls.insert", GoogleAccount.rule_insert),
    ("PATCH", f"{_F}/(?P<name>[^/]+)", "compute", "firewalls.patch", GoogleAccount.rule_patch),
    ("DELETE", f"{_F}/(?P<name>[^/]+)", "compute", "firewalls.delete", GoogleAccount.rule_delete),
    ("GET", _B, "storage", "buckets.get", GoogleAccount.bucket_get),
    ("POST", "/storage/v1/b", "storage", "buckets.insert", GoogleAccount.bucket_insert),
    ("PATCH", _B, "storage", "buckets.patch", GoogleAccount.bucket_patch),
    ("DELETE", _B, "storage", "buckets.delete", GoogleAccount.bucket_delete),
    ("GET", f"{_B}/iam", "storage", "buckets.getIamPolicy", GoogleAccount.policy_get),
    ("PUT", f"{_B}/iam", "storage", "buckets.setIamPolicy", GoogleAccount.policy_set),
]  # fmt: skip
"""(method, path, service, action, function); the first match applies."""
SERVICES = {
    "SERVICEUSAGE": "/",
    "IAM": "/",
    "CLOUDRESOURCEMANAGER": "/",
    "ARTIFACTREGISTRY": "/",
    "STORAGE": "/storage/v1/",
    "COMPUTE": "/compute/v1/",
}
"""Service -> where it begins on the one server of the simulation."""
