"""Calls of Amazon EC2 in one region, and the account's other services as far as `pipe doctor` needs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from swath.cluster.providers.aws.errors import LOGIN, Ec2Error, error_of
from swath.errors import CredentialsError, InfrastructureError, MissingExtra

PAID_STATES = ("pending", "running", "stopping", "stopped")
"""States of an instance that is paid for, or may be again. One that shuts down never comes back."""

Response: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class AwsLimits:
    """Timeouts and attempts of one call."""

    connect_s: float = 10
    read_s: float = 60
    attempts: int = 4


class AwsApi:
    """Calls of any service of AWS in one region, from any thread.

    Raises CredentialsError and InfrastructureError (Ec2Error for an error response).
    """

    def __init__(self, region: str, limits: AwsLimits = AwsLimits()) -> None:
        try:
            import botocore.config
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise MissingExtra("botocore", "aws", "A cluster on AWS") from error
        self.region = region
        self._errors = botocore.exceptions
        self._session = botocore.session.Session
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._config = botocore.config.Config(
            connect_timeout=limits.connect_s,
            read_timeout=limits.read_s,
            retries={"mode": "standard", "total_max_attempts": limits.attempts},
        )

    def call(self, service: str, operation: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> Response:
        """The response of a service. `operation` is a method of botocore's client."""
        errors = self._errors
        try:
            response: Response = getattr(self._client(service), operation)(**arguments)
        except errors.ClientError as error:
            details = error.response["Error"]
            name = service.upper()
            raise error_of(self.region, details.get("Code", ""), details.get("Message", ""), name) from error
        except (
            errors.NoCredentialsError,
            errors.PartialCredentialsError,
            errors.CredentialRetrievalError,
            errors.TokenRetrievalError,
            errors.SSOError,
            errors.ProfileNotFound,
        ) as error:
            raise CredentialsError(f"no credentials for AWS: {error}", remedy=LOGIN) from error
        except (errors.BotoCoreError, OSError) as error:
            raise InfrastructureError(
                f"{service.upper()} in {self.region} does not answer: {error}",
                remedy="check the network, cluster.region, and AWS_ENDPOINT_URL where it is set",
            ) from error
        return response

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:  # creating one reads the description of the whole service
                client = self._session().create_client(service, region_name=self.region, config=self._config)
                self._clients[service] = client
            return self._clients[service]


def image_query(named: str) -> Response:
    """Arguments of DescribeImages for an id, or for `family/NAME`: available images of this account whose tag `Name` is NAME. EC2 has
    no families; `make machine-image` sets that tag."""
    if not named.startswith("family/"):
        return {"ImageIds": [named]}
    filters = [
        {"Name": "tag:Name", "Values": [named.removeprefix("family/")]},
        {"Name": "state", "Values": ["available"]},
    ]
    return {"Owners": ["self"], "Filters": filters}


class Ec2Api:
    """Calls of EC2 in one region, from any thread. Raises CredentialsError, Ec2Error and InfrastructureError."""

    def __init__(self, region: str, limits: AwsLimits = AwsLimits()) -> None:
        self.region = region
        self._aws = AwsApi(region, limits)

    def run_instance(self, request: Mapping[str, Any]) -> Response:
        """Launch one instance; its description."""
        launched: Response = self._call("run_instances", request)["Instances"][0]
        return launched

    def instance(self, instance_id: str) -> Response | None:
        """The description of an instance; None when it is not known, or not yet."""
        try:
            response = self._call("describe_instances", {"InstanceIds": [instance_id]})
        except Ec2Error as error:
            if error.not_found:
                return None
            raise
        return next((each for group in response["Reservations"] for each in group["Instances"]), None)

    def instances(self, tag_filter: Mapping[str, Any]) -> Iterator[Response]:
        """Descriptions of all instances that are still paid for and match a filter on their tags."""
        states = {"Name": "instance-state-name", "Values": list(PAID_STATES)}
        token: dict[str, str] = {}
        while True:
            page = self._call("describe_instances", {"Filters": [tag_filter, states], **token})
            for group in page["Reservations"]:
                yield from group["Instances"]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Terminate instances: all of them, or none when one of them is refused."""
        self._call("terminate_instances", {"InstanceIds": list(instance_ids)})

    def console(self, instance_id: str) -> str:
        """Console output of an instance; empty when there is none."""
        try:
            response = self._call("get_console_output", {"InstanceId": instance_id, "Latest": True})
        except Ec2Error as error:
            if error.not_found:
                return ""
            # `Latest` works only on newer instance types: others give what was written at boot.
            response = self._call("get_console_output", {"InstanceId": instance_id})
        return str(response.get("Output") or "")

    def instance_types(self, names: Sequence[str]) -> dict[str, Response]:
        """Descriptions of instance types, by name."""
        response = self._call("describe_instance_types", {"InstanceTypes": sorted(set(names))})
        return {each["InstanceType"]: each for each in response["InstanceTypes"]}

    def image(self, named: str) -> Response:
        """The description of a machine image: of an id, or the newest of `family/NAME`."""
        images = self._call("describe_images", image_query(named))["Images"]
        if not images:
            raise error_of(self.region, "InvalidAMIID.NotFound", f"the machine image {named} does not exist")
        found: Response = max(images, key=lambda each: str(each.get("CreationDate", "")))
        return found

    def images(self, owner: str, name: str) -> list[Response]:
        """Available images of an owner whose name matches (with `*`), the newest first."""
        filters = [{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
        images: list[Response] = self._call("describe_images", {"Owners": [owner], "Filters": filters})["Images"]
        return sorted(images, key=lambda each: str(each["CreationDate"]), reverse=True)

    def default_subnets(self) -> list[str]:
        """Ids of the subnets of the default VPC, one per zone."""
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = self._call("describe_subnets", {"Filters": filters})["Subnets"]
        return [each["SubnetId"] for each in sorted(subnets, key=lambda each: str(each["AvailabilityZone"]))]

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> Response:
        return self._aws.call("ec2", operation, arguments)
