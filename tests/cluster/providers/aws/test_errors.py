from __future__ import annotations

import pytest

from swath.cluster.providers.aws.errors import NO_CAPACITY, Ec2Error, error_of
from swath.errors import CredentialsError


def test_an_error_says_what_to_do() -> None:
    error = error_of("eu-west-1", "InvalidSubnetID.NotFound", "no such subnet")
    assert isinstance(error, Ec2Error)
    assert "cluster.subnet" in error.remedy
    assert error.message == "EC2, eu-west-1: InvalidSubnetID.NotFound: no such subnet"


@pytest.mark.parametrize(
    ("code", "remedy"), [("ExpiredToken", "aws configure"), ("UnauthorizedOperation", "infra/iam")]
)
def test_credentials_and_rights_are_one_kind_of_error(code: str, remedy: str) -> None:
    error = error_of("eu-west-1", code, "no")
    assert isinstance(error, CredentialsError)
    assert remedy in error.remedy


def test_only_an_unknown_instance_is_one_that_is_not_found() -> None:
    codes = ("InvalidInstanceID.NotFound", "InvalidInstanceType", "InvalidSubnetID.NotFound")
    errors = [error_of("eu-west-1", code, "") for code in codes]
    assert [isinstance(error, Ec2Error) and error.not_found for error in errors] == [True, False, False]


def test_a_subnet_without_free_addresses_is_no_room_and_another_one_is_tried() -> None:
    """EC2's error codes: the subnet has fewer free private addresses than instances are asked for."""
    assert "InsufficientFreeAddressesInSubnet" in NO_CAPACITY
    assert "cluster.subnet" in error_of("eu-west-1", "InsufficientFreeAddressesInSubnet", "").remedy


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("RequestExpired", "Request has expired."),
        ("RequestTimeTooSkewed", "The difference is too large."),
        ("SignatureDoesNotMatch", "Signature expired: 20260301T100000Z is now earlier than 20260301T105500Z"),
        ("InvalidSignatureException", "Signature not yet current: 20260301T120000Z is still later than"),
    ],
)
def test_a_clock_that_is_wrong_is_named(code: str, message: str) -> None:
    error = error_of("eu-west-1", code, message)
    assert isinstance(error, CredentialsError)
    assert "set the clock of this machine" in error.remedy
