"""`pipe doctor` as a process."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Pipe


@pytest.mark.slow
def test_doctor_finds_this_machine_able(pipe: Pipe) -> None:
    done = pipe("doctor", "--json")
    found = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert found["gdal"] == found["cluster"] == found["journal"] == "ok"
