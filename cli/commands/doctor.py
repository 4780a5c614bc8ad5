"""`pipe doctor`: check this machine and a cluster, or the stored results. Every line is `ok`, `warn` or `fail`, with what to do."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from pathlib import Path

from swath import units
from swath.cli.context import here
from swath.errors import StateError
from swath.runner.doctor import examine
from swath.runner.load import load
from swath.runner.lock import unused


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


def print_checked_results(spec: Path | None, cluster: str | None, allow_env: list[str], *, as_json: bool) -> int:
    """Verify all stored results of the project, remove damaged ones, and print the counts. Returns 6 when there were any, else 0."""
    from swath.engine.journal import Journal
    from swath.engine.result_signature import result_key
    from swath.engine.results_check import CheckedResults, check_results
    from swath.engine.store import ResultStore

    job = load(spec, cluster=cluster, trust=False, allow_env=allow_env) if spec is not None else None
    project = here(allow_env) if job is None else job.project
    root = job.results if job is not None else project.results or str(project.state / "results")
    checked = CheckedResults(0, 0, 0, ())
    if (project.state / "journal.sqlite").is_file():
        with Journal.open(project.state) as journal:
            store = ResultStore(root, key=result_key(project.state))
            checked = check_results(journal, store, functools.partial(unused, project.state))
    damaged = len(checked.damaged)
    if as_json:
        print(json.dumps({"results": root, **asdict(checked)}, indent=2))
    else:
        files = f"{checked.files} files ({units.size(checked.bytes)}) and {checked.rows} rows of the journal"
        if damaged:
            text = f"{damaged} of {files} do not fit and were removed; the next run executes their calls again"
        else:
            text = f"{files} are as they were written"
        print(f"{'fail' if damaged else 'ok':<4}  {'results':<11}  {text}")
    return StateError.exit_code if damaged else 0
