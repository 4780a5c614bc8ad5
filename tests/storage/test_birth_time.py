"""Birth times: those of the system's own tool; none of what is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swath.storage.birth_time import birth_time


@pytest.mark.skipif(sys.platform != "linux", reason="stat of GNU")
def test_it_is_what_stat_says_and_does_not_change(tmp_path: Path) -> None:
    before = birth_time(str(tmp_path))
    (tmp_path / "file").write_text("x")
    told = subprocess.run(["stat", "-c", "%W", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert before // 10**9 == int(told)
    assert birth_time(str(tmp_path)) == before
    assert birth_time(str(tmp_path / "none")) == 0
