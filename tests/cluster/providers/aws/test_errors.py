from __future__ import annotations

import pytest

from swath.cluster.providers.aws.errors import Ec2Error, error_of
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
