"""What an agent reads of projects and what it looks at, told to a client of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.agent.looks import AgentLooks
from swath.project.trust import VARIABLE as TRUST
from swath.protocol.triggers import LookAnswer, LookClaim, LookWork, TriggersRead
from tests.agent.git_server import git

TRIGGERS = """
triggers:
  nightly: {cron: "30 2 * * *", spec: specs/lake.yaml, set: {output.to: "out/${trigger:day}"}}
  news: {sensor: files, paths: "incoming/*.tif", quiet: 0s, spec: specs/lake.yaml, labels: [eu]}
"""


class Told:
    """A server that only listens."""

    def __init__(self) -> None:
        self.read: list[TriggersRead] = []
        self.answers: list[LookAnswer] = []

    def claim_look(self, agent: str, claim: LookClaim) -> LookWork | None:
        return None

    def triggers_read(self, agent: str, look: str, told: TriggersRead) -> None:
        self.read.append(told)

    def found(self, agent: str, look: str, told: LookAnswer) -> None:
        self.answers.append(told)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.root, self.told = folder / "lakes", Told()
        (self.root / "specs").mkdir(parents=True)
        self.write(TRIGGERS)
        (self.root / "specs" / "lake.yaml").write_text("pipeline: predict\n")
        self.source: dict[str, Any] = {"folder": str(self.root)}
        self.looks = AgentLooks(self.told, "agent", "session 1", folder / "agent", (f"file://{folder}/",))  # type: ignore[arg-type]

    def write(self, text: str) -> None:
        (self.root / "swath.yaml").write_text(text)

    def read(self, digest: str = "") -> TriggersRead:
        self.looks._perform(LookWork(id="1", fence=3, project="lakes", source=self.source, digest=digest))
        return self.told.read[-1]

    def look(self, trigger: str = "news", commit: str = "") -> list[LookAnswer]:
        before = len(self.told.answers)
        work = LookWork(id="2", fence=3, project="lakes", source=self.source, trigger=trigger, commit=commit)
        self.looks._perform(work)
        return self.told.answers[before:]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(TRUST, "1")
    return Bench(tmp_path)


def test_the_server_gets_the_triggers_with_the_texts_of_their_specs(bench: Bench) -> None:
    told = bench.read()
    assert told.triggers is not None
    nightly, news = told.triggers
    assert (nightly.name, nightly.spec, nightly.definition["cron"]) == ("nightly", "pipeline: predict\n", "30 2 * * *")
    assert nightly.definition["spec"] == "specs/lake.yaml"
    assert (news.definition["kind"], news.definition["sensor"], news.definition["labels"]) == (
        "sensor",
        "files",
        ["eu"],
    )
    assert "incoming" not in json.dumps(news.definition)  # what is looked at is the agent's matter
    assert bench.read(told.digest).triggers is None
    (bench.root / "specs" / "lake.yaml").write_text("pipeline: change\n")
    assert bench.read(told.digest).triggers is not None


def test_no_value_of_the_environment_leaves_the_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED", "https://user:canary-4711@example.org")
    bench.write('triggers: {feed: {sensor: http, url: "${env:FEED}/a", spec: specs/lake.yaml}}')
    assert "canary" not in bench.read().model_dump_json()
    monkeypatch.setenv("PLACE", "canary-4711")
    (bench.root / "canary-4711.tif").touch()
    bench.write('triggers: {news: {sensor: files, paths: "${env:PLACE}.tif", quiet: 0s, spec: specs/lake.yaml}}')
    (answer,) = bench.look()
    assert "may not leave this machine" in answer.error
    assert "canary" not in answer.model_dump_json()
    monkeypatch.setenv("SWATH_AGENT_TOKEN", "canary-4711")
    bench.write(
        'triggers: {feed: {sensor: http, url: "http://localhost/${env:SWATH_AGENT_TOKEN}", spec: specs/lake.yaml}}'
    )
    assert "SWATH_AGENT_TOKEN" in bench.read().error  # it is not there to be sent anywhere


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("triggers: {a: {cron: '1 2 3', spec: specs/lake.yaml}}", "a cron expression has five fields"),
        ("triggers: {a: {every: 1h, spec: ../secret.yaml}}", "is not in the project's folder"),
        ("triggers: {a: {every: 1h, spec: specs/none.yaml}}", "there is no such file"),
    ],
)
def test_what_cannot_be_read_is_told_and_changes_nothing(bench: Bench, text: str, words: str) -> None:
    (bench.root.parent / "secret.yaml").write_text("pipeline: predict\n")
    bench.write(text)
    told = bench.read()
    assert words in told.error
    assert told.triggers is None


def test_a_sensor_looks_and_a_long_answer_comes_in_parts(bench: Bench) -> None:
    (bench.root / "incoming").mkdir()
    for number in range(501):
        (bench.root / "incoming" / f"{number:03}.tif").touch()
    first, second = bench.look()
    assert (len(first.found), first.more, len(second.found), second.more) == (500, True, 1, False)
    assert second.found[0].values["name"] == "500.tif"
    (failed,) = bench.look("nightly")
    assert failed.error == "nightly is no sensor of this project's swath.yaml any more"


def test_a_project_that_is_not_here_is_left_to_others(bench: Bench) -> None:
    bench.source = {"folder": "/nowhere"}
    assert "is not there on this machine" in bench.read().error
    asked: list[LookClaim] = []
    bench.told.claim_look = lambda agent, claim: asked.append(claim)  # type: ignore[method-assign,func-returns-value]
    bench.looks._claim()
    assert asked[0].without == ("lakes",)


def test_the_code_is_that_of_the_commit(bench: Bench, tmp_path: Path) -> None:
    git(bench.root, "init", "-q", "-b", "main", ".")
    git(bench.root, "add", ".")
    git(bench.root, "commit", "-q", "-m", "one")
    bench.source = {"git": f"file://{bench.root}", "ref": "main"}
    first = bench.read()
    assert first.error == ""
    assert (first.commit, len(first.triggers or ())) == (git(bench.root, "rev-parse", "HEAD"), 2)
    bench.write("triggers: {}")
    git(bench.root, "commit", "-q", "-am", "two")
    second = bench.read(first.digest)
    assert (second.commit == first.commit, second.triggers) == (False, ())
    assert bench.look(commit=first.commit)[0].error == ""
    assert "is no sensor" in bench.look(commit=second.commit)[0].error
    bench.source = {"git": "https://example.org/other.git"}
    assert "does not execute code of" in bench.read().error
