"""`pipe doctor` of a cluster in a cloud: image and bucket, and the exit code of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swath.cluster.doctor.doctor import check_bucket, check_image
from swath.version import __version__
from tests.cluster.doctor.conftest import aws_cluster
from tests.process import Pipe


def test_a_missing_bucket_and_a_folder_of_this_machine_are_failures(account: dict[str, str], tmp_path: Path) -> None:
    assert check_bucket("s3://pixels/results").state == "ok"
    assert check_bucket("s3://nowhere-at-all/results").state == "fail"
    assert "machines in a cloud do not see it" in check_bucket(str(tmp_path)).message


def test_only_a_container_of_this_version_is_ok() -> None:
    assert check_image(f"registry:5000/swath:{__version__}-gpu").state == "ok"
    assert check_image("registry:5000/swath").state == check_image("swath:latest").state == "warn"


@pytest.mark.slow
def test_the_command_checks_a_cluster_and_has_the_exit_code_of_the_failure(
    pipe: Pipe, aws: tuple[dict[str, str], dict[str, str]]
) -> None:
    environment, there = aws
    closed = aws_cluster(there, security_groups=[there["closed"]]).model_dump(exclude_none=True)
    settings = {"clusters": {"closed": closed}, "results": "s3://pixels/results"}
    (pipe.folder / "swath.yaml").write_text(json.dumps(settings))
    assert "no cluster 'colsed'" in pipe("doctor", "--cluster", "colsed", code=2).err
    done = pipe("doctor", "--cluster", "closed", "--json", env=environment, code=5)
    found = {finding["what"]: finding["state"] for finding in json.loads(done.out)}
    assert found["credentials"] == found["bucket"] == "ok"
    assert found["price"] == "warn", "the table does not have every machine type"
    assert found["network"] == "fail"
