"""What a machine's processes said is kept when the machine is gone, without secrets, for this user only."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.cloud.console_files import ConsoleFiles
from swath.cluster.providers.machine import Machine
from swath.errors import InfrastructureError
from tests.clouds.control import Cloud
from tests.cluster.cloud.conftest import running
from tests.cluster.specs import gce_spec

MACHINE = Machine("1", "r-1-ab", "r-1", "worker", 0, "z", "running")


class Consoles:
    def __init__(self, text: str) -> None:
        self.text = text

    def console(self, machine: Machine, lines: int) -> str:
        if not self.text:
            raise InfrastructureError("no answer")
        return self.text


def save(folder: Path | None, text: str, *secrets: str) -> None:
    fleet: Any = Consoles(text)
    ConsoleFiles(folder, secrets).save(fleet, MACHINE)


def test_a_console_is_kept_without_secrets_for_this_user_only(tmp_path: Path) -> None:
    save(tmp_path / "machines", "key=hunter2 and hunter22", "hunter2", "hunter22", "")
    file = tmp_path / "machines/r-1-ab.log"
    assert file.read_text() == "key=*** and ***\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_cloud_that_does_not_answer_or_no_folder_is_no_error(tmp_path: Path) -> None:
    save(tmp_path / "machines", "")
    save(None, "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
def test_the_consoles_of_all_machines_of_a_cluster_outlive_them(gce_cloud: Cloud, tmp_path: Path) -> None:
    with running(gce_spec(gce_cloud, workers=1), consoles=ConsoleFiles(tmp_path / "machines")) as run:
        run.run(run.cluster.start_scheduler())
        run.run(run.cluster.wait_for_machines(1))
        names = {each["name"] for each in gce_cloud.alive()}
    assert gce_cloud.empty()
    assert {file.stem for file in (tmp_path / "machines").iterdir()} == names
    assert all(file.read_text().strip() for file in (tmp_path / "machines").iterdir())
