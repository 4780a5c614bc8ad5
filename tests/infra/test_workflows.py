"""GitHub's workflows: linted, with pinned actions and least permissions, and triggered by changes of the files that they use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.conftest import ROOT, Tool

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def read(file: Path) -> dict[str, Any]:
    """A workflow; `on`, which YAML takes for true, under its name."""
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {"on": found.pop(True), **found}


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_actionlint_finds_nothing(tool: Callable[[str], Tool]) -> None:
    done = tool("actionlint")("-no-color", *(str(each) for each in FILES))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_actionlint_would_find_a_mistake(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILES[0].read_text().replace("runs-on:", "run-on:"))
    assert tool("actionlint")("-no-color", str(wrong)).returncode == 1


def test_actions_are_pinned_to_commits_with_their_version_beside(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_a_workflow_may_only_read_and_what_more_it_may_belongs_to_one_job(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    more = {
        (name, what)
        for name, job in workflow["jobs"].items()
        for what, level in job.get("permissions", {}).items()
        if level == "write"
    }
    allowed = {("container", "packages"), ("machine-image", "id-token")} if file.stem == "images" else set()
    assert more == allowed
    assert all(
        step["with"]["persist-credentials"] is False
        for step in steps(workflow)
        if step.get("uses", "").startswith("actions/checkout@")
    )


def test_a_newer_push_does_not_wait_for_an_older_one_and_no_job_runs_for_ever(file: Path) -> None:
    workflow = read(file)
    assert "github.ref" in workflow["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())


def test_no_expression_is_written_into_a_shell(file: Path) -> None:
    """What an expression gives could hold a shell's own signs."""
    assert [step["run"] for step in steps(read(file)) if "${{" in step.get("run", "")] == []


def test_images_are_built_again_when_their_definitions_change() -> None:
    on = read(ROOT / ".github" / "workflows" / "images.yml")["on"]
    assert on["push"]["paths"] == on["pull_request"]["paths"]
    paths = on["push"]["paths"]
    assert [each for each in paths if not (ROOT / each.removesuffix("/**")).exists()] == []
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)", dockerfile, re.MULTILINE) for word in line.split()[:-1]
    }
    documents = {"README.md", "LICENSE"}
    for each in copied - documents:
        assert any(
            each == path or each.startswith(path.removesuffix("**")) or f"{each}/**" == path for path in paths
        ), each


def test_machine_images_hold_a_container_by_its_digest_and_old_ones_go() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "images.yml")["jobs"]
    (build,) = [each for each in jobs["container"]["steps"] if each.get("id") == "build"]
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, True)
    assert set(jobs["container"]["outputs"]) == {"cpu", "gpu", "constraints"}
    machine = jobs["machine-image"]
    assert "github.sha" not in machine["env"]["PKR_VAR_container"], "a tag may be moved, a digest not"
    assert machine["strategy"]["matrix"]["variant"] == ["cpu", "gpu"]
    assert machine["permissions"]["packages"] == "read"
    assert sum("old_images.sh" in step.get("run", "") for step in machine["steps"]) == 2


def test_every_push_checks_the_specs() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "checks.yml")
    assert workflow["on"]["push"] == {"branches": ["main"]}
    assert "pull_request" in workflow["on"]
    assert ".venv/bin/pipe check --offline specs/*.yaml" in [step.get("run") for step in steps(workflow)]
