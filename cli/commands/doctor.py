"""`pipe doctor`: check this machine and a cluster. Every line is `ok`, `warn` or `fail`, with what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from swath.cli.context import here
from swath.runner.doctor import examine
from swath.runner.load import load


def print_findings(spec: Path | None, cluster: str | None, allow_env: list[str], *, as_json: bool) -> int:
    """Print the findings for this machine and for the cluster of a spec or of a name. Returns 0 without a failure, else the exit
    code of the worst: 4 before 5 before 1."""
    job = load(spec, cluster=cluster, trust=False, allow_env=allow_env) if spec is not None else None
    findings = []
    for finding in examine(here(allow_env), Path.cwd(), job, cluster):
        findings.append(finding)
        if not as_json:
            print(f"{finding.state:<4}  {finding.what:<11}  {finding.message}", flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    codes = {finding.exit_code or 1 for finding in findings if finding.state == "fail"}
    return next((code for code in (4, 5, 1) if code in codes), 0)
