"""Secrets of runs: the run has their values, and nothing else that is written, sent, listed or executed does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from swath.launchers.docker import DockerLauncher
from swath.launchers.settings import DockerSettings
from swath.secret_stores.reference import EnvSecret, FileSecret, SecretReference
from tests.agent.conftest import PIPELINE, Site, wait_for
from tests.launchers.conftest import FakeDocker

CANARY = "canary-4711-value"
SPEC = "pipeline: job\ncluster: inline\n"
TALKING = PIPELINE.replace(
    'print(f"step {number}")',
    'import hashlib, os; print("key", os.environ["API_KEY"], hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest()[:8])',
).replace("import time\n", "import os, time\n")
DIGEST = __import__("hashlib").sha256(CANARY.encode()).hexdigest()[:8]


def places_of(folder: Path, without: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and file != without and CANARY.encode() in file.read_bytes()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("runs_on", [None, "box"])
def test_the_value_of_a_secret_is_in_the_run_and_nowhere_else(
    site: Site, docker: FakeDocker, tmp_path: Path, runs_on: str | None
) -> None:
    """The run prints it: in the database, log lines, journals, folders of agent and job, definitions and command lines it is not."""
    store = tmp_path / "key"
    store.write_text(CANARY)
    docker.say("canary", CANARY)
    (site.root / "pipelines/job.py").write_text(TALKING)
    launcher = DockerLauncher(DockerSettings(kind="docker", image="swath:0.2"))
    launcher.poll_s = 0.2
    secrets: dict[str, SecretReference] = {"API_KEY": FileSecret(file=str(store))}
    site.agent("desk", launchers={"box": launcher}, secrets=secrets)
    spec, hold = site.held()
    run = site.submit(spec, runs_on=runs_on)
    site.wait_began()
    words = b"\n".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())
    assert CANARY.encode() not in words
    hold.unlink()
    info = site.end_of(run)
    assert info.status == "done", info.error
    lines = "\n".join(site.lines(run))
    assert f"key ${{env:API_KEY}} {DIGEST}" in lines
    (docker.folder / "canary").unlink()
    with sqlite3.connect(site.folder / "server/server.sqlite") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert places_of(tmp_path, store) == []


def test_a_secret_that_cannot_be_had_ends_the_run_before_it_begins(site: Site) -> None:
    site.agent("desk", secrets={"API_KEY": EnvSecret(env="SWATH_TEST_MISSING")})
    info = site.end_of(site.submit(SPEC))
    assert (info.status, info.exit_code) == ("failed", 4)
    assert "the secret API_KEY: there is no variable SWATH_TEST_MISSING" in info.error


@pytest.mark.slow
def test_a_secret_goes_to_the_runs_of_its_projects_only(site: Site, tmp_path: Path) -> None:
    (site.root / "pipelines/job.py").write_text(TALKING)
    (tmp_path / "key").write_text(CANARY)
    site.agent("desk", secrets={"API_KEY": FileSecret(file=str(tmp_path / "key"), projects=("others",))})
    run = site.submit(SPEC)
    assert site.end_of(run).status == "failed"
    wait_for(lambda: "KeyError" in "\n".join([*site.lines(run), site.server.client.run(run).error]))
