from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.cluster.doctor.aws import check_account, compare_quota, needed_cpus
from swath.cluster.doctor.doctor import check_cluster
from swath.spec.clusters.workers import Workers
from tests.cluster.doctor.conftest import aws_cluster, by_name


@pytest.mark.slow
def test_an_account_without_problems_has_no_failure(account: dict[str, str]) -> None:
    found = list(check_cluster(aws_cluster(account), ["s3://pixels/results"]))
    assert not [each for each in found if each.state == "fail"]
    names = by_name(found)
    looked = (
        "credentials",
        "region",
        "machines",
        "image",
        "subnet",
        "network",
        "profile",
        "quota",
        "container",
        "bucket",
    )
    assert list(names) == list(looked)
    assert all(check.state == "ok" for what in looked if what != "quota" for check in names[what])


@pytest.mark.parametrize(
    ("fields", "what", "message"),
    [
        ({"machine": "m99.huge"}, "machines", "us-east-1 has no m99.huge: set cluster.machine"),
        ({"machine_image": "ami-00000000000000000"}, "image", "machine_image"),
        ({"machine": "m6g.xlarge"}, "image", "is for x86_64, m6g.xlarge is not"),
        ({"subnet": "subnet-0"}, "subnet", "set cluster.subnet"),
        ({"workers": Workers(min=1, max=1000)}, "subnet", "1001 are needed"),
        ({"security_groups": ["sg-0"]}, "network", "set cluster.security_groups"),
        ({"profile": "nobody"}, "profile", "nobody is not there"),
    ],
)
def test_a_problem_in_the_account_is_a_failure_with_a_remedy(
    account: dict[str, str], fields: dict[str, Any], what: str, message: str
) -> None:
    found = [each for each in check_account(aws_cluster(account, **fields)) if each.state == "fail"]
    assert [(check.what, check.exit_code) for check in found] == [(what, 5)]
    assert message in found[0].message


def test_a_closed_security_group_is_a_failure_with_the_commands_that_open_it(account: dict[str, str]) -> None:
    found = [
        c.message for c in check_account(aws_cluster(account, security_groups=[account["closed"]])) if c.state == "fail"
    ]
    assert len(found) == 2
    assert all("aws ec2 authorize-security-group-ingress" in message for message in found)


def test_a_region_without_an_answer_ends_the_checks(account: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = list(check_account(aws_cluster(account)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 5)]


def test_missing_credentials_are_exit_code_4_and_end_the_checks(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = list(check_account(aws_cluster(account)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 4)]
    assert "aws configure" in found[0].message


def test_virtual_cpus_count_for_the_quota_of_their_machine_type(account: dict[str, str]) -> None:
    cpus = {"m7i.xlarge": 4, "t3.medium": 2, "g5.2xlarge": 8, "inf2.xlarge": 4}
    ten = aws_cluster(account, machine="m7i.xlarge", workers=Workers(min=1, max=10))
    assert needed_cpus(ten, cpus) == {"L-1216C47A": 42}
    assert needed_cpus(ten.model_copy(update={"spot": True}), cpus) == {"L-1216C47A": 2, "L-34B43A08": 40}
    assert needed_cpus(ten.model_copy(update={"machine": "g5.2xlarge"}), cpus) == {
        "L-1216C47A": 2,
        "L-DB2E81BA": 80,
    }
    assert needed_cpus(ten.model_copy(update={"machine": "inf2.xlarge"}), cpus) == {"L-1216C47A": 2}
    assert compare_quota("r", "L-1", 42, 64).state == "ok"
    assert "request-service-quota-increase" in compare_quota("r", "L-1", 42, 32).message
