"""Amazon EC2: its calls, what its refusals mean, and the fleet of a region's machines as it lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

from swath.cluster.providers.machine import Fleet, Kind, Machine, tail
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError

RUN, EXPIRES, ROLE = "swath:run", "swath:expires", "swath:role"
"""Tags of every machine and of its disk."""
PAID = ("pending", "running", "stopping", "stopped")
"""States of a machine that is still paid for, or may be again: one that shuts down never comes back."""
CALL_TIMEOUT_S = 60
RETRIES = 4
LOGIN = "run `aws configure` or `aws sso login`, or set AWS_PROFILE"

Answer: TypeAlias = dict[str, Any]


class Ec2Error(InfrastructureError):
    """EC2 answered with an error that is no matter of credentials."""

    def __init__(self, message: str, *, code: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        """EC2's own, such as InsufficientInstanceCapacity."""


class Ec2:
    """Calls of EC2 in one region, from any thread. Raises CredentialsError, Refused and InfrastructureError."""

    def __init__(self, region: str) -> None:
        try:
            import botocore.config
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise MissingExtra("botocore", "aws", "A cluster on AWS") from error
        self.region = region
        self._errors = botocore.exceptions
        self._session, self._config = botocore.session.Session, botocore.config.Config

    def run(self, request: Mapping[str, Any]) -> Answer:
        """Ask for one machine."""
        made: Answer = self._call(lambda api: api.run_instances(**request))["Instances"][0]
        return made

    def instance(self, identity: str) -> Answer | None:
        """A machine; None when it is not known, or not yet."""
        try:
            answer = self._call(lambda api: api.describe_instances(InstanceIds=[identity]))
        except Ec2Error as error:
            if gone(error):
                return None
            raise
        return next((each for group in answer["Reservations"] for each in group["Instances"]), None)

    def instances(self, tag: Mapping[str, Any]) -> Iterator[Answer]:
        """All machines that are still paid for and have a tag, as a filter says it."""
        states = {"Name": "instance-state-name", "Values": list(PAID)}
        token: dict[str, str] = {}
        while True:
            page = self._call(partial(self._page, [tag, states], token))
            for group in page["Reservations"]:
                yield from group["Instances"]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _page(self, filters: Sequence[Mapping[str, Any]], token: Mapping[str, str], api: Any) -> Any:
        return api.describe_instances(Filters=list(filters), **token)

    def terminate(self, identities: Sequence[str]) -> None:
        """Have machines terminated: all of them, or none when one of them is refused."""
        self._call(lambda api: api.terminate_instances(InstanceIds=list(identities)))

    def console(self, identity: str) -> str:
        """What a machine wrote to its console; empty when that cannot be had."""
        try:
            answer = self._call(lambda api: api.get_console_output(InstanceId=identity, Latest=True))
        except Ec2Error as error:
            if gone(error):
                return ""
            # Machines of older types tell only what was written when they booted.
            answer = self._call(lambda api: api.get_console_output(InstanceId=identity))
        return str(answer.get("Output") or "")

    def types(self, names: Sequence[str]) -> dict[str, Answer]:
        """What machine types have."""
        answer = self._call(lambda api: api.describe_instance_types(InstanceTypes=sorted(set(names))))
        return {each["InstanceType"]: each for each in answer["InstanceTypes"]}

    def image(self, identity: str) -> Answer:
        """A machine image."""
        images = self._call(lambda api: api.describe_images(ImageIds=[identity]))["Images"]
        if not images:
            raise self._refused("InvalidAMIID.NotFound", f"the machine image {identity} does not exist")
        found: Answer = images[0]
        return found

    def images(self, owner: str, name: str) -> list[Answer]:
        """An owner's images of a name (with `*`), the newest first."""
        filters = [{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
        images: list[Answer] = self._call(lambda api: api.describe_images(Owners=[owner], Filters=filters))["Images"]
        return sorted(images, key=lambda each: str(each["CreationDate"]), reverse=True)

    def default_subnets(self) -> list[str]:
        """Those of the default VPC, one per zone."""
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = self._call(lambda api: api.describe_subnets(Filters=filters))["Subnets"]
        return [each["SubnetId"] for each in sorted(subnets, key=lambda each: str(each["AvailabilityZone"]))]

    # --- one call

    @cached_property
    def _api(self) -> Any:
        config = self._config(
            connect_timeout=10, read_timeout=CALL_TIMEOUT_S, retries={"mode": "standard", "total_max_attempts": RETRIES}
        )
        return self._session().create_client("ec2", region_name=self.region, config=config)

    def _call(self, ask: Callable[[Any], Any]) -> Answer:
        errors = self._errors
        try:
            answer: Answer = ask(self._api)
        except errors.ClientError as error:
            told = error.response["Error"]
            raise self._refused(told.get("Code", ""), told.get("Message", "")) from error
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
                f"EC2 in {self.region} does not answer: {error}",
                remedy="check the network, cluster.region, and AWS_ENDPOINT_URL where it is set",
            ) from error
        return answer

    def _refused(self, code: str, message: str) -> SwathError:
        return refusal(self.region, code, message)


def gone(error: Ec2Error) -> bool:
    """Whether the machine that was asked for does not exist (any more)."""
    return error.code.startswith("InvalidInstanceID")


def refusal(region: str, code: str, message: str) -> SwathError:
    """What an answer with an error means."""
    told = f"EC2, {region}: {code}: {message}"
    if code in BAD_CREDENTIALS:
        return CredentialsError(told, remedy=LOGIN)
    if code in NOT_ALLOWED:
        return CredentialsError(told, remedy="give this account the policy in infra/iam, or use another account")
    return Ec2Error(told, code=code, remedy=remedy_of(code, message))


BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
NOT_ALLOWED = {"AccessDenied", "AccessDeniedException", "Blocked", "OptInRequired", "UnauthorizedOperation"}
NO_ROOM = ("InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "Unsupported")
"""Another zone may have what this one has not."""
_QUOTA = "ask for more in the console under Service Quotas (Amazon EC2), have fewer workers, or another machine type or region"
_ROOM = "set another cluster.machine or cluster.subnet (of another zone), or try again later"
REMEDIES: tuple[tuple[str, str], ...] = (
    ("VcpuLimitExceeded", _QUOTA),
    ("InstanceLimitExceeded", _QUOTA),
    ("MaxSpotInstanceCountExceeded", _QUOTA),
    ("VolumeLimitExceeded", _QUOTA),
    ("Insufficient", _ROOM),
    ("Unsupported", _ROOM),
    ("SpotMaxPriceTooLow", _ROOM),
    ("RequestLimitExceeded", "wait a minute; other programs ask in this account, too"),
    ("InvalidAMIID", "set cluster.machine_image to an image of this region; `make machine-image` makes one"),
    ("InvalidSubnet", "set cluster.subnet to one of this region: `aws ec2 describe-subnets`"),
    ("InvalidGroup", "set cluster.security_groups to groups of the subnet's VPC: `aws ec2 describe-security-groups`"),
    ("InvalidSecurityGroup", "set cluster.security_groups to groups of the subnet's VPC"),
    ("InvalidInstanceType", "set cluster.machine (and scheduler_machine) to types that the region has"),
    ("InvalidBlockDeviceMapping", "set cluster.disk_gb to at least the size of the machine image"),
    ("VPCIdNotSpecified", "set cluster.subnet: there is no default VPC"),
    ("PendingVerification", "AWS still looks at this account: try again in some hours"),
)
"""What to do about a code that begins so; the first one counts."""


def remedy_of(code: str, message: str) -> str:
    """What to do about an error of EC2; empty when nobody knows."""
    if "iamInstanceProfile" in message or "IAM Instance Profile" in message:
        return "set cluster.profile to an instance profile that exists: `aws iam list-instance-profiles`"
    return next((remedy for begin, remedy in REMEDIES if code.startswith(begin)), "")


class Ec2Fleet:
    """The machines that swath made in a region."""

    kind: Kind = "aws"

    def __init__(self, region: str) -> None:
        self.place = region
        self._ec2 = Ec2(region)

    def machines(self, run: str | None = None) -> list[Machine]:
        tag = {"Name": f"tag:{RUN}", "Values": [run]} if run else {"Name": "tag-key", "Values": [RUN]}
        return [machine(self.place, each) for each in self._ec2.instances(tag)]

    def end(self, machines: Sequence[Machine]) -> None:
        identities = [each.id for each in machines]
        if not identities:
            return
        try:
            self._ec2.terminate(identities)
            return
        except Ec2Error as error:
            if len(identities) == 1 and not gone(error):
                raise
        first: SwathError | None = None
        for identity in identities:  # one that is refused keeps no other
            try:
                self._ec2.terminate([identity])
            except Ec2Error as error:
                if not gone(error):
                    first = first or error
        if first is not None:
            raise first

    def console(self, machine: Machine, lines: int = 20) -> str:
        return tail(self._ec2.console(machine.id), lines)

    def removal(self, machine: Machine) -> str:
        return f"aws ec2 terminate-instances --region {self.place} --instance-ids {machine.id}"


def machine(region: str, listed: Answer) -> Machine:
    """A machine, of EC2's description."""
    tags = {each["Key"]: each["Value"] for each in listed.get("Tags", [])}
    expires = tags.get(EXPIRES, "")
    return Machine(
        id=listed["InstanceId"],
        name=tags.get("Name") or listed["InstanceId"],
        run=tags.get(RUN, ""),
        role=tags.get(ROLE, ""),
        expires=float(expires) if expires.isdecimal() else 0,
        place=region,
        state=listed["State"]["Name"],
        type=listed.get("InstanceType", ""),
    )


_: type[Fleet] = Ec2Fleet
