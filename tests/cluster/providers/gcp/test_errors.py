"""Error responses of Compute Engine name what is missing and what to do."""

from __future__ import annotations

import json

import pytest

from swath.cluster.providers.gcp.errors import GceError, error_of
from swath.errors import CredentialsError, InfrastructureError


def response_error(status: int, message: str, reason: str = "") -> CredentialsError | InfrastructureError:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message, "domain": "global"}]}
    found = error_of("acme-maps", status, json.dumps({"error": error}).encode())
    assert message in found.message
    assert isinstance(found, CredentialsError | InfrastructureError)
    return found


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "remedy"),
    [
        (
            403,
            "quotaExceeded",
            "Quota 'CPUS' exceeded.  Limit: 24.0 in region europe-west4.",
            InfrastructureError,
            "quotas",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.instances.create' permission for 'projects/p'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.subnetworks.use' permission for 'projects/p/regions/r/subnetworks/s'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "accessNotConfigured",
            "Compute Engine API has not been used in project 1",
            InfrastructureError,
            "enable",
        ),
        (401, "authError", "Request had invalid authentication credentials.", CredentialsError, "gcloud auth"),
        (
            404,
            "notFound",
            "The resource 'projects/p/regions/r/subnetworks/blue' was not found",
            InfrastructureError,
            "cluster.subnetwork",
        ),
        (
            404,
            "notFound",
            "The resource 'projects/p/global/images/family/swath' was not found",
            InfrastructureError,
            "cluster.machine_image",
        ),
        (
            400,
            "invalid",
            "Invalid value for field 'resource.machineType': 'zones/z/machineTypes/n9'. Machine type with name 'n9' does not"
            " exist in zone 'z'.",
            InfrastructureError,
            "cluster.machine",
        ),
        (404, "notFound", "The resource 'projects/nobody' was not found", InfrastructureError, "cluster.project"),
        (503, "backendError", "Backend error", InfrastructureError, ""),
    ],
)
def test_an_error_says_what_is_missing_and_what_to_do(
    status: int, reason: str, message: str, kind: type[Exception], remedy: str
) -> None:
    error = response_error(status, message, reason)
    assert isinstance(error, kind)
    assert remedy in error.remedy


def test_a_response_that_is_no_json_is_shown() -> None:
    assert "502 Bad Gateway" in error_of("p", 502, b"<h1>502 Bad Gateway</h1>").message
    assert "HTTP 500" in error_of("p", 500, b"").message


@pytest.mark.parametrize(
    ("message", "no_room"),
    [
        (
            "ZONE_RESOURCE_POOL_EXHAUSTED: The zone 'a' does not have enough resources available to fulfill the request.",
            True,
        ),
        (
            "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: A n2-standard-4 VM instance is currently unavailable in the a zone.",
            True,
        ),
        ("The resource 'projects/p/zones/a/machineTypes/c4-standard-4' was not found", True),
        ("Quota 'N2_CPUS' exceeded.  Limit: 24.0 in region europe-west4.", False),
        ("The resource 'projects/p/global/networks/blue' was not found", False),
    ],
)
def test_another_zone_is_asked_only_where_one_has_no_room(message: str, no_room: bool) -> None:
    assert GceError(message).no_room is no_room
