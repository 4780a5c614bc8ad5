"""The search for known vulnerabilities: what was not looked up is told, and is not the same as nothing found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.conftest import ROOT

AUDIT = ROOT / "infra/supply/audit.py"
KNOWN = {"name": "dask", "version": "1", "vulns": [{"id": "PYSEC-1"}]}
CLEAN = {"name": "numpy", "version": "2", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (json.dumps({"dependencies": [CLEAN]}), 0, "1 packages were looked up, 0 vulnerabilities are known"),
        (json.dumps({"dependencies": [CLEAN, KNOWN]}), 1, "dask 1: PYSEC-1"),
        (json.dumps({"dependencies": [SKIPPED, KNOWN]}), 1, "NOT CHECKED: the index has no database"),
        (json.dumps({"dependencies": [SKIPPED]}), 2, "no database of vulnerabilities for 1 packages: torch"),
        (json.dumps({"dependencies": []}), 2, "NOT CHECKED"),
        ("", 2, "NOT CHECKED: no database of vulnerabilities could be asked"),
    ],
)
def test_the_exit_code_says_whether_it_was_looked_up(tmp_path: Path, answer: str, code: int, told: str) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write({answer!r})\n")
    tool.chmod(0o700)
    done = subprocess.run([sys.executable, AUDIT, tool, "a.lock"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert told in done.stdout


def test_the_workflow_makes_the_bill_of_materials_and_the_search() -> None:
    text = (ROOT / ".github/workflows/supply.yml").read_text()
    assert "make sbom" in text
    assert "make --silent audit" in text
    assert "infra/docker/worker.lock" in text
    targets = (ROOT / "Makefile").read_text()
    for target in ("sbom", "audit", "lock", "base-digest"):
        assert f"\n{target}:" in targets
