"""`pipe setup` without a cloud: the Terraform module, and what is refused before anything is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Pipe
from tests.process import ROOT

IAM = ROOT / "infra/iam"
COMMON = ("--bucket", "acme-maps", "--allow", "192.0.2.7/32")
AWS = ("setup", "aws", "--region", "eu-central-1", *COMMON)
GCP = ("setup", "gcp", "--project", "acme-project", "--region", "europe-west4", *COMMON)


def module(pipe: Pipe, folder: Path, *words: str) -> dict[str, Any]:
    done = pipe(*words, "--terraform", str(folder))
    assert done.returncode == 0, done.stderr
    written: dict[str, Any] = json.loads((folder / "main.tf.json").read_text())
    return written


def test_the_module_for_aws_has_the_policies_of_infra_iam(pipe: Pipe, tmp_path: Path) -> None:
    resources = module(pipe, tmp_path / "tf", *AWS, "--client", "user/me")["resource"]
    policy = json.loads(resources["aws_iam_policy"]["client"]["policy"])
    source = json.loads((IAM / "aws-client.json").read_text())
    assert [each["Action"] for each in policy["Statement"]] == [each["Action"] for each in source["Statement"]]
    assert "arn:aws:s3:::acme-maps/runs/*" in json.dumps(policy)
    assert "${data.aws_caller_identity.current.account_id}:instance/*" in json.dumps(policy)
    assert resources["aws_iam_user_policy_attachment"]["client"]["user"] == "me"


def test_the_module_for_google_cloud_has_the_roles_and_conditions_of_infra_iam(pipe: Pipe, tmp_path: Path) -> None:
    resources = module(pipe, tmp_path / "tf", *GCP, "--client", "user:me@acme.org")["resource"]
    role = resources["google_project_iam_custom_role"]["swathClient"]
    assert role["permissions"] == yaml.safe_load((IAM / "gcp-client.yaml").read_text())["includedPermissions"]
    condition = resources["google_storage_bucket_iam_member"]["swathWorker_1"]["condition"]
    assert 'startsWith("projects/_/buckets/acme-maps/objects/runs/")' in condition["expression"]
    assert "swathSelfRemoval" not in resources["google_project_iam_custom_role"], "only with --self-removal"


def test_every_reference_in_a_module_leads_to_a_resource_of_it(pipe: Pipe, tmp_path: Path) -> None:

    for name, words in (("aws", (*AWS, "--client", "role/me")), ("gcp", (*GCP, "--client", "user:me@acme.org"))):
        written = module(pipe, tmp_path / name, *words)
        text = json.dumps(written)
        found = re.findall(r"\$\{([A-Za-z0-9_.]+)\.", text)
        assert found
        for each in found:
            *data, kind, resource = each.split(".")
            assert resource in written["data" if data else "resource"][kind], each


def test_a_module_is_not_written_over(pipe: Pipe, tmp_path: Path) -> None:
    module(pipe, tmp_path, *AWS, "--client", "user/me")
    done = pipe(*AWS, "--client", "user/me", "--terraform", str(tmp_path))
    assert done.returncode == 2
    assert "is there already; nothing was written" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*AWS, "--terraform", "tf"), "--client user/NAME"),
        ((*GCP, "--terraform", "tf"), "--client user:YOU@EXAMPLE.ORG"),
        ((*AWS, "--client", "me", "--terraform", "tf"), "--client user/NAME"),
        ((*AWS[:-2], "--client", "user/me", "--terraform", "tf"), "--allow ADDRESS/32"),
        ((*AWS, "--client", "user/me", "--terraform", "tf", "--yes"), "only writes files"),
        ((*AWS, "--client", "user/me", "--with-content"), "--with-content is for --remove"),
        (("setup", "gcp", "--project", "../x", "--region", "europe-west4", *COMMON), "no id of a project"),
    ],
)
def test_what_is_not_known_or_does_not_fit_is_refused_with_what_to_do(
    pipe: Pipe, words: tuple[str, ...], said: str
) -> None:
    done = pipe(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
