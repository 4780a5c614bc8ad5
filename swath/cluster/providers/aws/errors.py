"""Error codes of EC2: which mean missing credentials or rights, and what a user can do about the others."""

from __future__ import annotations

from swath.errors import CredentialsError, InfrastructureError, SwathError

LOGIN = "run `aws configure` or `aws sso login`, or set AWS_PROFILE"

BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
NOT_ALLOWED = {"403", "AccessDenied", "AccessDeniedException", "Blocked", "OptInRequired", "UnauthorizedOperation"}
NO_CAPACITY = (
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientFreeAddressesInSubnet",
    "Unsupported",
)
"""Another zone of the region may have such a machine, and its subnet free addresses."""
NO_SPOT = ("MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow")
"""There is no room for spot machines, in no zone; there may be for others."""
CLOCK = "set the clock of this machine: AWS takes no request that is dated more than some minutes from its own time"
_QUOTA = "ask for more in the console under Service Quotas (Amazon EC2), have fewer workers, or another machine type or region"
_CAPACITY = "give more cluster.machines or cluster.subnets (of other zones), on_demand: true beside spot: true, or try again later"
REMEDIES: tuple[tuple[str, str], ...] = (
    ("VcpuLimitExceeded", _QUOTA),
    ("InstanceLimitExceeded", _QUOTA),
    ("MaxSpotInstanceCountExceeded", _QUOTA),
    ("VolumeLimitExceeded", _QUOTA),
    ("InsufficientFreeAddresses", "set cluster.subnet to one with free addresses, or have fewer workers"),
    ("Insufficient", _CAPACITY),
    ("Unsupported", _CAPACITY),
    ("SpotMaxPriceTooLow", _CAPACITY),
    ("RequestLimitExceeded", "wait a minute; other programs ask in this account, too"),
    ("InvalidAMIID", "set cluster.machine_image to an image of this region; `make machine-image` makes one"),
    ("InvalidSubnet", "set cluster.subnet to one of this region: `aws ec2 describe-subnets`"),
    ("InvalidGroup", "set cluster.security_groups to groups of the subnet's VPC: `aws ec2 describe-security-groups`"),
    ("InvalidSecurityGroup", "set cluster.security_groups to groups of the subnet's VPC"),
    ("InvalidInstanceType", "set cluster.machine (and scheduler_machine) to types that the region has"),
    ("InvalidBlockDeviceMapping", "set cluster.disk_gb to at least the size of the machine image"),
    ("VPCIdNotSpecified", "set cluster.subnet: there is no default VPC"),
    ("PendingVerification", "AWS still verifies this account: try again in some hours"),
)
"""(beginning of an error code, what to do); the first that matches applies."""


class Ec2Error(InfrastructureError):
    """An error of EC2 that has nothing to do with credentials."""

    def __init__(self, message: str, *, code: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        """EC2's error code, such as InsufficientInstanceCapacity."""

    @property
    def no_room(self) -> bool:
        """Whether there is no such machine now. A quota of the account is another matter, except that of spot machines."""
        return self.code in NO_CAPACITY or self.no_spot

    @property
    def no_spot(self) -> bool:
        """Whether no zone has room for spot machines."""
        return self.code in NO_SPOT

    @property
    def not_found(self) -> bool:
        """Whether the instance does not exist (any more)."""
        return self.code.startswith("InvalidInstanceID")


def error_of(region: str, code: str, message: str, service: str = "EC2") -> SwathError:
    """The error for an error response: CredentialsError or Ec2Error."""
    text = f"{service}, {region}: {code}: {message}"
    if (
        code in ("RequestExpired", "RequestTimeTooSkewed")
        or "Signature expired" in message
        or "not yet current" in message
    ):
        return CredentialsError(text, remedy=CLOCK)
    if code in BAD_CREDENTIALS:
        return CredentialsError(text, remedy=LOGIN)
    if code in NOT_ALLOWED:
        return CredentialsError(text, remedy="give this account the policy in infra/iam, or use another account")
    return Ec2Error(text, code=code, remedy=_remedy(code, message))


def _remedy(code: str, message: str) -> str:
    if "iamInstanceProfile" in message or "IAM Instance Profile" in message:
        return "set cluster.profile to an instance profile that exists: `aws iam list-instance-profiles`"
    return next((remedy for prefix, remedy in REMEDIES if code.startswith(prefix)), "")
