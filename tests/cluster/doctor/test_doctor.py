"""`pipe doctor` of a cluster in a cloud: image and bucket, and the exit code of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from swath.cluster.doctor import aws, gcp, kubernetes
from swath.cluster.doctor.doctor import arm_machines, check_bucket, check_cluster, check_image
from swath.cluster.doctor.finding import ok
from swath.errors import MissingExtra
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.version import __version__
from tests.cluster.doctor.conftest import aws_cluster, gcp_cluster
from tests.process import Pipe


def test_a_missing_bucket_and_a_folder_of_this_machine_are_failures(account: dict[str, str], tmp_path: Path) -> None:
    assert check_bucket("s3://pixels/results").state == "ok"
    assert check_bucket("s3://nowhere-at-all/results").state == "fail"
    assert "machines in a cloud do not see it" in check_bucket(str(tmp_path)).message


def test_only_a_container_of_this_version_is_ok() -> None:
    assert check_image(f"registry:5000/swath:{__version__}-gpu").state == "ok"
    assert check_image("registry:5000/swath").state == check_image("swath:latest").state == "warn"


class Store:
    """A store that takes objects, or raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.done = error, list[str]()

    def filesystem(self, scheme: str, skip_instance_cache: bool) -> Store:
        assert (scheme, skip_instance_cache) == ("s3", True)
        if isinstance(self.error, ImportError):
            raise self.error
        return self

    def pipe_file(self, name: str, content: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(name)

    def rm_file(self, name: str) -> None:
        self.done.remove(name)
        self.done.append("removed")


@pytest.mark.parametrize(
    ("error", "state", "code", "said"),
    [
        (None, "ok", 0, "can be written"),
        (PermissionError("403"), "fail", 4, "403: let this account put and delete objects there"),
        (RuntimeError("cut"), "fail", 5, "cannot be written: RuntimeError: cut"),
    ],
)
def test_an_object_is_written_and_removed_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, state: str, code: int, said: str
) -> None:
    store = Store(error)
    monkeypatch.setattr(fsspec, "filesystem", store.filesystem)
    found = check_bucket("s3://acme/maps/")
    assert (found.state, found.exit_code, said in found.message) == (state, code, True)
    assert store.done == (["removed"] if error is None else [])


def test_a_store_whose_package_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec, "filesystem", Store(ImportError("s3fs")).filesystem)
    with pytest.raises(MissingExtra, match="s3fs"):
        check_bucket("s3://acme/maps")
    assert check_bucket("/acme/maps").exit_code == 5


NAMES = {"subnet": "subnet-1", "good": "sg-1", "image": "ami-1"}


def test_each_kind_of_cluster_has_its_checks_and_each_folder_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((aws, "check_account"), (gcp, "check_project"), (kubernetes, "check_namespace")):
        monkeypatch.setattr(module, name, lambda spec, name=name: iter([ok(name, spec.kind)]))
    pods = KubernetesCluster(kind="kubernetes", image=f"swath:{__version__}", namespace="maps")
    specs: list[Any] = [aws_cluster(NAMES), gcp_cluster(), pods]
    found = [list(check_cluster(spec, ["/a", "/b", "/a"])) for spec in specs]
    assert [each[0].what for each in found] == ["check_account", "check_project", "check_namespace"]
    assert [[each.what for each in of[1:]] for of in found] == [["container", "bucket", "bucket"]] * 3


def test_arm_processors_need_an_image_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "check_account", lambda spec: iter(()))
    spec = aws_cluster(NAMES, machine="m7g.xlarge")
    assert arm_machines(spec) == "m7g.xlarge"
    assert arm_machines(gcp_cluster(machine="t2a-standard-4")) == "t2a-standard-4"
    assert arm_machines(gcp_cluster()) == arm_machines(aws_cluster(NAMES)) == ""
    both = aws_cluster(NAMES, machine="m7g.xlarge", scheduler_machine="t4g.medium")
    assert arm_machines(both) == "m7g.xlarge and t4g.medium"
    image, warning = check_cluster(spec, [])
    assert (image.state, warning.state) == ("ok", "warn")
    assert "m7g.xlarge has Arm processors" in warning.message


def test_what_is_wrong_with_a_tag_is_said() -> None:
    assert "it has no tag with a version" in check_image("swath").message
    assert "its tag 'latest' is no version" in check_image("swath:latest@sha256:1").message
    assert check_image(f"x/swath:v{__version__}").state == "ok"


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
