"""Parts of a Google Cloud project in which things are: the bucket, the repository of images, and the rules of the firewall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swath.cluster.account.bucket_content import kept_content, remove_content
from swath.cluster.account.google_access import GooglePart, finished, found
from swath.cluster.account.part import LABEL, MARK, STAGED_DAYS, UPLOAD_DAYS, AccountPart, PartState, Terraform
from swath.cluster.providers.gcp.google_api import GoogleApi
from swath.cluster.providers.gcp.launch import NETWORK_TAG
from swath.errors import UsageError

REPOSITORY = "swath"


@dataclass
class GoogleBucket(GooglePart):
    """The bucket of results, maps and staged files. One that was there before keeps its rules."""

    storage: GoogleApi
    name: str
    prefix: str
    location: str
    with_content: bool = False
    """Whether it may be removed with what is in it."""

    @property
    def title(self) -> str:
        return f"bucket gs://{self.name} in {self.location}"

    def look(self) -> PartState:
        there = found(self.storage, lambda service: service.buckets().get(bucket=self.name))
        if there is None:
            return PartState("missing")
        uniform = (there.get("iamConfiguration") or {}).get("uniformBucketLevelAccess") or {}
        if not uniform.get("enabled"):
            raise UsageError(
                f"the bucket {self.name} has no uniform bucket-level access, so rights below one prefix cannot be given",
                remedy=f"`gcloud storage buckets update gs://{self.name} --uniform-bucket-level-access`, or another bucket",
            )
        ours = LABEL in (there.get("labels") or {})
        where = there.get("location", "").lower()
        note = "" if where == self.location else f"it is in {where}: traffic with machines in {self.location} is paid"
        if not ours:
            return PartState("there", "; ".join(filter(None, ("not made by a setup: its rules stay", note))))
        if (there.get("lifecycle") or {}).get("rule", []) != self._rules:
            return PartState("different", "rules that remove staged files and unfinished uploads", ours)
        return PartState("there", note, ours)

    def make(self) -> None:
        rules = {"lifecycle": {"rule": self._rules}}
        if found(self.storage, lambda service: service.buckets().get(bucket=self.name)) is not None:
            self.storage.call(lambda service: service.buckets().patch(bucket=self.name, body=rules))
            return
        access = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
        body = {"name": self.name, "location": self.location, "labels": {LABEL: "made"}, "iamConfiguration": access}
        self.storage.call(
            lambda service: service.buckets().insert(project=self.storage.project, body={**body, **rules})
        )

    def kept(self) -> str:
        return "" if self.with_content else kept_content("gs", self.name)

    def remove(self) -> None:
        if self.with_content:
            remove_content("gs", self.name)
        found(self.storage, lambda service: service.buckets().delete(bucket=self.name))

    def terraform(self) -> Terraform:
        stale, cut = ({"action": {"type": each["action"]["type"]}} for each in self._rules)
        bucket = {
            "project": self.storage.project,
            "name": self.name,
            "location": self.location,
            "uniform_bucket_level_access": True,
            "public_access_prevention": "enforced",
            "labels": {LABEL: "made"},
            "lifecycle_rule": [
                {**stale, "condition": {"age": STAGED_DAYS, "matches_prefix": [f"{self.prefix}/stage/"]}},
                {**cut, "condition": {"age": UPLOAD_DAYS}},
            ],
        }
        return {"google_storage_bucket": {"maps": bucket}}

    @property
    def _rules(self) -> list[dict[str, Any]]:
        return [
            {
                "action": {"type": "Delete"},
                "condition": {"age": STAGED_DAYS, "matchesPrefix": [f"{self.prefix}/stage/"]},
            },
            {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": UPLOAD_DAYS}},
        ]


@dataclass
class GoogleRepository(GooglePart):
    """The repository of container images."""

    registry: GoogleApi
    region: str

    @property
    def title(self) -> str:
        return f"repository of images {REPOSITORY} in {self.region}"

    @property
    def name(self) -> str:
        return f"{self._parent}/repositories/{REPOSITORY}"

    @property
    def address(self) -> str:
        return f"{self.region}-docker.pkg.dev/{self.registry.project}/{REPOSITORY}"

    def look(self) -> PartState:
        there = found(self.registry, lambda service: self._repositories(service).get(name=self.name))
        if there is None:
            return PartState("missing")
        return PartState("there", ours=LABEL in (there.get("labels") or {}))

    def make(self) -> None:
        body = {"format": "DOCKER", "description": f"Images of workers. {MARK}", "labels": {LABEL: "made"}}
        operation = self.registry.call(
            lambda service: self._repositories(service).create(parent=self._parent, repositoryId=REPOSITORY, body=body)
        )
        self._finish(operation)

    def remove(self) -> None:
        operation = found(self.registry, lambda service: self._repositories(service).delete(name=self.name))
        if operation is not None:
            self._finish(operation)

    def terraform(self) -> Terraform:
        body = {"project": self.registry.project, "location": self.region, "repository_id": REPOSITORY}
        more = {
            "format": "DOCKER",
            "labels": {LABEL: "made"},
            "depends_on": ["google_project_service.artifactregistry"],
        }
        return {"google_artifact_registry_repository": {REPOSITORY: {**body, **more}}}

    def _finish(self, operation: dict[str, Any]) -> None:
        def get(service: Any, name: str) -> Any:
            return service.projects().locations().operations().get(name=name)

        finished(self.registry, operation, get)

    def _repositories(self, service: Any) -> Any:
        return service.projects().locations().repositories()

    @property
    def _parent(self) -> str:
        return f"projects/{self.registry.project}/locations/{self.region}"


@dataclass
class FirewallRule(GooglePart):
    """A rule that lets TCP connections to machines of runs in."""

    compute: GoogleApi
    name: str
    network: str
    ports: str
    ranges: Sequence[str] = ()
    """Addresses from which connections come; none: from machines of runs."""

    @property
    def title(self) -> str:
        return f"firewall rule {self.name}: tcp {self.ports} from {', '.join(self.ranges) or 'machines of runs'}"

    def look(self) -> PartState:
        there = self._there()
        if there is None:
            return PartState("missing")
        ours = MARK in there.get("description", "")
        for key in ("sourceRanges", "sourceTags", "targetTags", "allowed"):
            had, wanted = there.get(key) or [], self._body.get(key) or []
            if had != wanted and not (key == "sourceRanges" and set(had) == set(wanted)):
                return PartState("different", f"{key} was {had}", ours)
        return PartState("there", ours=ours)

    def make(self) -> None:
        project, body = self.compute.project, self._body
        if self._there() is None:
            operation = self.compute.call(lambda service: service.firewalls().insert(project=project, body=body))
        else:
            operation = self.compute.call(
                lambda service: service.firewalls().patch(project=project, firewall=self.name, body=body)
            )
        self._finish(operation)

    def remove(self) -> None:
        project = self.compute.project
        operation = found(self.compute, lambda service: service.firewalls().delete(project=project, firewall=self.name))
        if operation is not None:
            self._finish(operation)

    def terraform(self) -> Terraform:
        body: dict[str, Any] = {
            "project": self.compute.project,
            "name": self.name,
            "network": self.network,
            "description": MARK,
            "target_tags": [NETWORK_TAG],
            "allow": {"protocol": "tcp", "ports": [self.ports]},
            "depends_on": ["google_project_service.compute"],
        }
        body |= {"source_ranges": list(self.ranges)} if self.ranges else {"source_tags": [NETWORK_TAG]}
        return {"google_compute_firewall": {self.name.replace("-", "_"): body}}

    def _there(self) -> dict[str, Any] | None:
        return found(
            self.compute,
            lambda service: service.firewalls().get(project=self.compute.project, firewall=self.name),
        )

    def _finish(self, operation: dict[str, Any]) -> None:
        project = self.compute.project
        finished(
            self.compute,
            operation,
            lambda service, name: service.globalOperations().get(project=project, operation=name),
        )

    @property
    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": self.name,
            "network": f"projects/{self.compute.project}/global/networks/{self.network}",
            "direction": "INGRESS",
            "description": f"Connections to machines of runs. {MARK}",
            "targetTags": [NETWORK_TAG],
            "allowed": [{"IPProtocol": "tcp", "ports": [self.ports]}],
        }
        return body | ({"sourceRanges": list(self.ranges)} if self.ranges else {"sourceTags": [NETWORK_TAG]})


_: tuple[type[AccountPart], ...] = (GoogleBucket, GoogleRepository, FirewallRule)
