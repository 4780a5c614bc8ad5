"""`pipe setup` on simulated clouds that nobody has prepared; doctor and a run with no right but those it gave; its removal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from swath.version import __version__
from tests.clouds.control import Cloud
from tests.clouds.plugin import ec2_process, gce_process
from tests.clouds.projects import QUICK
from tests.process import ROOT, Pipe

__all__ = ["ec2_process", "gce_process"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BUCKET, PREFIX = "acme-maps", "maps/rivers"
USER = """
import botocore.session
iam = botocore.session.Session().create_client("iam", region_name="us-east-1")
try:
    iam.create_user(UserName="me")
except iam.exceptions.EntityAlreadyExistsException:
    pass
"""
PIPELINE = """
from swath import Spec, pipeline, task

class Squares(Spec):
    upto: int = 3

@task
def square(number: int) -> int:
    return number * number

@pipeline
def squares(spec: Squares):
    return square.map(range(spec.upto))
"""


class Prepared:
    """A cloud, a project that uses it, and the words of its setup."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.pipe = Pipe(folder)
        self.pipe.env |= cloud.environment | QUICK | {"SWATH_TRUST": "1"}
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines/squares.py").write_text(PIPELINE)
        (folder / "spec.yaml").write_text("pipeline: squares\ncluster: cloud\n")
        common = ["--bucket", BUCKET, "--prefix", PREFIX]
        if cloud.kind == "ec2":
            self.words = ["setup", "aws", "--region", "us-east-1", *common]
            self.client = ["--client", "user/me"]
        else:
            self.words = ["setup", "gcp", "--project", cloud.network["project"], "--region", "us-central1", *common]
            self.client = ["--client", "user:me@acme.org"]

    def setup(self, *more: str, code: int = 0) -> tuple[str, str]:
        """As the owner of the account; what it printed, and what it said."""
        self.cloud.act_as("")
        owner = {"AWS_ACCESS_KEY_ID": "owner"} if self.cloud.kind == "ec2" else {}
        allow = [] if "--remove" in more else ["--allow", "192.0.2.7/32", *self.client]
        done = self.pipe(*self.words, *allow, *more, code=code, timeout=200, env=owner)
        return done.out, done.err

    def use(self, printed: str) -> None:
        """Put the printed lines into swath.yaml, with what a simulated machine needs."""
        settings = yaml.safe_load(printed.partition("# for swath.yaml\n")[2])
        cluster: dict[str, Any] = settings["clusters"]["cloud"]
        assert cluster["image"].endswith(f"swath:{__version__}")
        small = {"public_ip": False, "processes": 1, "workers": 1, "start_timeout_s": 90}
        cluster |= small | {"machine_image": self.cloud.network["image"]}
        (self.pipe.folder / "swath.yaml").write_text(yaml.safe_dump({"pipelines": ["pipelines"], **settings}))

    def doctor(self) -> list[dict[str, Any]]:
        """What it says is wrong."""
        self.cloud.act_as("me" if self.cloud.kind == "ec2" else "user:me@acme.org")
        found: list[dict[str, Any]] = json.loads(self.pipe("doctor", "spec.yaml", "--json", code=None).out)
        return [each for each in found if each["state"] == "fail"]

    def try_account(self) -> None:
        """The script for one small run on a real account."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = ["sh", str(ROOT / "infra/try_account.sh"), str(self.pipe.folder)]
        environment = {**self.pipe.env, "PATH": path, "TMPDIR": str(self.pipe.folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing is left" in done.stderr


@pytest.fixture(params=["ec2", "gce"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Prepared]:
    cloud: Cloud = request.getfixturevalue(f"{request.param}_process")
    cloud.reset()
    if cloud.kind == "gce":
        cloud.bare()
    else:
        owner = os.environ | cloud.environment | {"AWS_ACCESS_KEY_ID": "owner"}
        subprocess.run([sys.executable, "-c", USER], env=owner, check=True, timeout=60)
    yield Prepared(cloud, tmp_path / "project")
    cloud.act_as("")
    cloud.reset()


def counted(text: str, word: str) -> int:
    return len(re.findall(rf"^{word} ", text, re.MULTILINE))


def test_after_a_setup_doctor_is_content_and_a_run_needs_no_other_right_and_a_removal_leaves_nothing(
    prepared: Prepared,
) -> None:
    planned, said = prepared.setup("--dry-run")
    assert counted(planned, "make") > 4
    assert counted(planned, "there") == 0
    assert "nothing was done" in said
    _, refused = prepared.setup(code=2)
    assert "nobody can be asked here, so nothing was done" in refused
    assert prepared.setup("--dry-run")[0] == planned, "something was made without a yes"

    made, _ = prepared.setup("--yes")
    again, _ = prepared.setup("--yes")
    assert counted(again, "make") == counted(again, "change") == 0
    assert again.partition("# for swath.yaml")[2] == made.partition("# for swath.yaml")[2]

    prepared.use(made)
    assert prepared.doctor() == []
    prepared.try_account()
    assert prepared.cloud.empty()

    kept, _ = prepared.setup("--remove", "--yes")
    assert "has content" in kept
    assert re.search(rf"^keep +bucket \S+{BUCKET}", kept, re.MULTILINE)
    removed, _ = prepared.setup("--remove", "--yes", "--with-content")
    assert re.search(rf"^remove +bucket \S+{BUCKET}", removed, re.MULTILINE)
    assert counted(prepared.setup("--dry-run")[0], "there") <= 1, "only what an account has once stays"
    assert prepared.doctor()
