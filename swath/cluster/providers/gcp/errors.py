"""Error responses of Compute Engine: which mean missing credentials or rights, and what a user can do about the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from swath.errors import CredentialsError, InfrastructureError, SwathError

LOGIN = "run `gcloud auth application-default login`, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"
NOT_ALLOWED = re.compile(r"SERVICE_ACCOUNT_ACCESS_DENIED|does not have access|\bpermission\b", re.IGNORECASE)
OTHER_403 = re.compile(r"quota|rate.?limit|accessNotConfigured|disabled|billing", re.IGNORECASE)
"""Messages of responses with status 403 that have nothing to do with rights."""
NO_ROOM = re.compile(
    r"RESOURCE_POOL_EXHAUSTED|enough resources|is currently unavailable in the|"
    r"machineTypes?/\S+.* (was not found|does not exist)",
    re.IGNORECASE,
)
"""Messages when a zone has no room for a machine, or no such machine type."""
REMEDIES = {
    r"quota.?exceeded|QUOTA": "ask for more at https://console.cloud.google.com/iam-admin/quotas, have fewer workers, or"
    " another machine type or region",
    r"POOL_EXHAUSTED|enough resources|currently unavailable in the": "give more cluster.zones or cluster.machines, on_demand: true"
    " beside spot: true, or try again later",
    r"rate.?limit": "wait a minute; other programs ask in this project, too",
    r"accessNotConfigured|SERVICE_DISABLED": "enable it with `gcloud services enable compute.googleapis.com`, or all that runs"
    " need with `pipe setup gcp`",
    r"billing": "enable billing for the project",
    r"/?subnetworks?\b": "set cluster.subnetwork to one of the zone's region, or make it with"
    " `gcloud compute networks subnets create`",
    r"networks?/": "set cluster.network, or make it with `gcloud compute networks create`",
    r"images?\b": "set cluster.machine_image, or make the image with `make machine-image`",
    r"machineTypes?\b|machine type": "set cluster.machine (and scheduler_machine) to one that the zone has:"
    " `gcloud compute machine-types list`",
    r"acceleratorTypes?\b|accelerator": "set cluster.gpus to what the zone has: `gcloud compute accelerator-types list`",
    r"service.?account": "set cluster.service_account, or let this account use it: role roles/iam.serviceAccountUser",
    r"external.?ip|ExternalIp": "set cluster.public_ip: false, and run where the machines' network is reached",
    r"projects/[^/]+'? was not found|project .*not found": "check cluster.project",
}
"""Pattern of a message -> what to do; the first that matches applies."""


class GceError(InfrastructureError):
    """An error of Compute Engine that has nothing to do with credentials."""

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        """HTTP status."""

    @property
    def no_room(self) -> bool:
        """Whether another zone of the region may have such a machine."""
        return NO_ROOM.search(self.message) is not None


def error_of(project: str, status: int, content: bytes, api: str = "Compute Engine") -> SwathError:
    """The error for an error response: CredentialsError or GceError. `content` is its body."""
    try:
        error = json.loads(content)["error"]
        message, details = str(error["message"]), error.get("errors") or [{}]
        reason = str(details[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, IndexError):
        message, reason = content.decode(errors="replace")[:300].strip() or f"HTTP {status}", ""
    return _error(project, status, reason, message, api)


def error_of_operation(project: str, operation: Mapping[str, Any]) -> SwathError | None:
    """Why an operation failed after its request was accepted; None while it has not failed."""
    errors = (operation.get("error") or {}).get("errors") or []
    if not errors:
        return None
    code, message = str(errors[0].get("code", "")), str(errors[0].get("message", ""))
    return _error(project, int(operation.get("httpErrorStatusCode") or 0), code, f"{code}: {message}")


def _error(project: str, status: int, reason: str, message: str, api: str = "Compute Engine") -> SwathError:
    text, searched = f"{api}, project {project}: {message}", f"{reason} {message}"
    if status == 401:
        return CredentialsError(text, remedy=LOGIN)
    if NOT_ALLOWED.search(searched) or (status == 403 and not OTHER_403.search(searched)):
        return CredentialsError(text, remedy="give this account the role in infra/iam, or use another account")
    return GceError(text, status=status, remedy=_remedy(searched))


def _remedy(message: str) -> str:
    return next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, message, re.IGNORECASE)), "")
