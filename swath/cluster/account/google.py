"""All parts of a Google Cloud project that runs need, in the order in which they are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swath.cluster.account.google_access import CustomRole, EnabledApis, Policy, RoleBinding, WorkerAccount, found
from swath.cluster.account.google_places import FirewallRule, GoogleBucket, GoogleRepository
from swath.cluster.account.part import AccountPart, Terraform
from swath.cluster.account.policies import google_document
from swath.cluster.account.wanted import WantedAccount
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.gcp.google_api import GoogleApi
from swath.errors import SwathError, UsageError
from swath.version import __version__

SELF_REMOVAL = {
    "title": "machines of runs",
    "expression": 'resource.name.extract("/instances/{name}").startsWith("swath-")',
}
"""Condition with which machines may delete machines."""
ON_ACCOUNT = "google_service_account.worker"
"""The account of machines in Terraform."""


@dataclass(frozen=True)
class GoogleProject:
    """One project. Raises UsageError when it is not known whom the rights of a client are for."""

    project: str
    wanted: WantedAccount
    self_removal: bool = False
    """Whether machines may delete machines of runs."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", self.project):
            raise UsageError(f"{self.project!r} is no id of a project", remedy="look at --project")

    def parts(self, *, offline: bool = False) -> list[AccountPart]:
        """All parts. `offline`: nobody is asked who signs in, so a client must have been named."""
        wanted, iam, compute = self.wanted, self._api("iam", "v1", "IAM"), self._api("compute", "v1", "Compute Engine")
        account = WorkerAccount(iam)
        machine = f"serviceAccount:{account.email}"
        client = self._client(iam, offline=offline)
        storage = self._api("storage", "v1", "Google Storage")
        bucket = GoogleBucket(storage, wanted.bucket, wanted.prefix, wanted.region, wanted.with_content)
        repository = GoogleRepository(self._api("artifactregistry", "v1", "Artifact Registry"), wanted.region)
        roles = [CustomRole(iam, "swathClient", "gcp-client"), CustomRole(iam, "swathWorker", "gcp-worker")]
        project = self._project_policy()
        on_project: dict[str, Any] = {"project": self.project}
        named = {machine: f"serviceAccount:${{{ON_ACCOUNT}.email}}"}
        parts: list[AccountPart] = [
            EnabledApis(self._api("serviceusage", "v1", "Service Usage")),
            account,
            *roles,
            RoleBinding(
                f"{client}: role swathClient", roles[0].name, [client], *project,
                "google_project_iam_member", on_project, reference="${google_project_iam_custom_role.swathClient.id}",
            ),
            RoleBinding(
                f"{client}: may give machines their account", "roles/iam.serviceAccountUser", [client],
                *self._account_policy(iam, account), "google_service_account_iam_member",
                {"service_account_id": f"${{{ON_ACCOUNT}.name}}"},
            ),
            bucket,
            RoleBinding(
                f"{client} and machines: objects below {wanted.prefix}/", roles[1].name, [client, machine],
                *self._bucket_policy(storage), "google_storage_bucket_iam_member",
                {"bucket": "${google_storage_bucket.maps.name}"},
                google_document("gcp-worker-condition", BUCKET=wanted.bucket, PREFIX=wanted.prefix),
                reference="${google_project_iam_custom_role.swathWorker.id}", in_terraform=named,
            ),
            repository,
            RoleBinding(
                "machines: pull images", "roles/artifactregistry.reader", [machine],
                *self._repository_policy(repository), "google_artifact_registry_repository_iam_member",
                {**on_project, "location": wanted.region, "repository": "${google_artifact_registry_repository.swath.name}"},
                in_terraform=named,
            ),
            FirewallRule(compute, "swath-scheduler", wanted.network or "default", str(PORT), wanted.allow),
            FirewallRule(compute, "swath-machines", wanted.network or "default", "0-65535"),
        ]  # fmt: skip
        if self.self_removal or wanted.removing:
            parts += self._removal_parts(iam, machine, project, on_project, named)
        return parts

    def settings(self) -> dict[str, Any]:
        """What swath.yaml gets: a cluster, and where results are."""
        compute = self._api("compute", "v1", "Compute Engine")
        zones = [f"{self.wanted.region}-b"]
        try:
            region = found(
                compute, lambda service: service.regions().get(project=self.project, region=self.wanted.region)
            )
            zones = sorted(each.rpartition("/")[2] for each in (region or {}).get("zones", [])) or zones
        except SwathError:
            pass  # it is one of the zones in every region
        repository = GoogleRepository(compute, self.wanted.region)
        cluster: dict[str, Any] = {"kind": "gcp", "project": self.project, "zone": zones[0]}
        if zones[1:]:
            cluster["zones"] = zones[1:]
        if self.wanted.network:
            cluster["network"] = self.wanted.network
        cluster |= {
            "service_account": WorkerAccount(compute).email,
            "image": f"{repository.address}/swath:{__version__}",
            "workers": {"min": 1, "max": 4},
        }
        return self.wanted.settings(cluster, "gs")

    def provider(self) -> Terraform:
        """What stands beside the resources in Terraform."""
        required = {"google": {"source": "hashicorp/google", "version": ">= 6.0"}}
        return {"terraform": {"required_providers": required}, "provider": {"google": {"project": self.project}}}

    def _client(self, iam: GoogleApi, *, offline: bool) -> str:
        if self.wanted.client:
            return self.wanted.client
        account = "" if offline else iam.account
        if account:
            return f"serviceAccount:{account}"
        if self.wanted.removing:
            return "client"  # bindings are removed with all their members
        raise UsageError(
            "it is not known who will run pipelines: Google does not say whose credentials these are",
            remedy="add --client user:YOU@EXAMPLE.ORG, or group:..., or serviceAccount:...",
        )

    def _removal_parts(
        self,
        iam: GoogleApi,
        machine: str,
        project: tuple[Callable[[], Policy | None], Callable[[Policy], object]],
        on_project: dict[str, Any],
        named: dict[str, str],
    ) -> list[AccountPart]:
        role = CustomRole(iam, "swathSelfRemoval", "gcp-self-removal")
        binding = RoleBinding(
            "machines: delete machines of runs", role.name, [machine], *project, "google_project_iam_member",
            on_project, SELF_REMOVAL, reference="${google_project_iam_custom_role.swathSelfRemoval.id}", in_terraform=named,
        )  # fmt: skip
        return [role, binding]

    def _api(self, service: str, version: str, name: str) -> GoogleApi:
        return GoogleApi(self.project, service, version, name)

    # --- policies of resources: how they are read, and written

    def _project_policy(self) -> tuple[Callable[[], Policy | None], Callable[[Policy], object]]:
        manager, project = self._api("cloudresourcemanager", "v1", "Resource Manager"), self.project
        options = {"options": {"requestedPolicyVersion": 3}}
        return (
            lambda: found(manager, lambda api: api.projects().getIamPolicy(resource=project, body=options)),
            lambda policy: manager.call(
                lambda api: api.projects().setIamPolicy(resource=project, body={"policy": policy})
            ),
        )

    def _account_policy(
        self, iam: GoogleApi, account: WorkerAccount
    ) -> tuple[Callable[[], Policy | None], Callable[[Policy], object]]:
        name = f"projects/{self.project}/serviceAccounts/{account.email}"
        return (
            lambda: found(
                iam,
                lambda api: (
                    api.projects().serviceAccounts().getIamPolicy(resource=name, options_requestedPolicyVersion=3)
                ),
            ),
            lambda policy: iam.call(
                lambda api: api.projects().serviceAccounts().setIamPolicy(resource=name, body={"policy": policy})
            ),
        )

    def _bucket_policy(self, storage: GoogleApi) -> tuple[Callable[[], Policy | None], Callable[[Policy], object]]:
        bucket = self.wanted.bucket
        return (
            lambda: found(
                storage, lambda api: api.buckets().getIamPolicy(bucket=bucket, optionsRequestedPolicyVersion=3)
            ),
            lambda policy: storage.call(lambda api: api.buckets().setIamPolicy(bucket=bucket, body=policy)),
        )

    def _repository_policy(
        self, repository: GoogleRepository
    ) -> tuple[Callable[[], Policy | None], Callable[[Policy], object]]:
        registry, name = repository.registry, repository.name

        def repositories(api: Any) -> Any:
            return api.projects().locations().repositories()

        return (
            lambda: found(
                registry,
                lambda api: repositories(api).getIamPolicy(resource=name, options_requestedPolicyVersion=3),
            ),
            lambda policy: registry.call(
                lambda api: repositories(api).setIamPolicy(resource=name, body={"policy": policy})
            ),
        )
