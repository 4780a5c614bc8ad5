"""Whole runs of small jobs: how they end, what they write, and what they do to the program that starts them."""

from __future__ import annotations

import json
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.errors import Locked, Terminated, UsageError
from swath.events import CallDone, Event, RunDone
from swath.project.project import Project
from swath.runner.load import load, load_run
from swath.runner.outcome import RunOutcome
from swath.runner.runner import run

PIPELINE = """
from swath import Output, Spec, pipeline, task

class Job(Spec):
    n: int = 2
    words: tuple[str, ...] = ()
    output: Output | None = None

@task
def half(x):
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x // 2

@task
def shout(words):
    print("shouting", words)
    if "fail" in words:
        raise RuntimeError("cannot say " + " ".join(words))
    return " ".join(words).upper()

@pipeline
def job(spec: Job):
    return half.map(range(spec.n))

@pipeline
def say(spec: Job):
    return shout(list(spec.words))
"""


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipelines").mkdir()
        (folder / "pipelines" / "job.py").write_text(PIPELINE)
        self.events: list[Event] = []

    def run(self, text: str, **options: Any) -> RunOutcome:
        spec = self.folder / "spec.yaml"
        spec.write_text(text)
        listeners = [self.events.append, *options.pop("listeners", ())]
        return run(load(spec), listeners=listeners, **options)

    def resume(self, earlier: str) -> RunOutcome:
        with self.journal as journal:
            row = journal.find(earlier)
        with load_run(row, Project.find(self.folder).state) as job:
            return run(job)

    @property
    def journal(self) -> Journal:
        return Journal.open(Project.find(self.folder).state)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    folder = tmp_path / "project"
    folder.mkdir()
    return Setup(folder)


@pytest.mark.parametrize(
    ("text", "status", "code", "aside"),
    [
        ("pipeline: job\nn: 1\ncluster: inline", "done", 0, 0),
        ("pipeline: job\nn: 4\ncluster: inline", "partial", 3, 2),
        ("pipeline: job\nn: 4\ncluster: inline\non_error: stop", "failed", 1, 0),
        ("pipeline: say\nwords: [fail]\ncluster: inline", "failed", 1, 1),
    ],
)
def test_how_a_run_ended_is_in_the_outcome_the_journal_and_the_last_event(
    setup: Setup, text: str, status: str, code: int, aside: int
) -> None:
    outcome = setup.run(text)
    assert (outcome.status, outcome.exit_code, len(outcome.set_aside)) == (status, code, aside)
    with setup.journal as journal:
        row = journal.find(outcome.run)
    assert (row.status, row.exit_code) == (status, code)
    last = setup.events[-1]
    assert isinstance(last, RunDone)
    assert (last.status, last.exit_code) == (status, code)


@pytest.mark.parametrize(("where", "code"), [("on_client=True", 2), ("retries=0", 1)])
@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_a_wrong_input_is_exit_code_2_only_as_long_as_nothing_was_started(
    setup: Setup, where: str, code: int, on_error: str
) -> None:
    (setup.folder / "pipelines" / "wrong.py").write_text(
        "from swath import Spec, pipeline, task\nfrom swath.errors import ImageryError\n"
        f"@task({where})\ndef look():\n    raise ImageryError('no such band')\n"
        "@pipeline\ndef wrong(spec: Spec):\n    return look()\n"
    )
    assert setup.run(f"pipeline: wrong\ncluster: inline\non_error: {on_error}").exit_code == code


def test_what_a_pipeline_returns_is_what_the_user_is_shown(setup: Setup) -> None:
    assert setup.run("pipeline: say\nwords: [a, b]\ncluster: inline").outputs == ["A B"]
    assert setup.run("pipeline: job\nn: 1\ncluster: inline").outputs == ["0"]


def test_a_secret_of_the_environment_is_in_no_line_event_or_journal(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "canary-4711")
    outcome = setup.run('pipeline: say\nwords: ["${env:TOKEN}", fail]\ncluster: inline')
    texts = "".join(event.to_json() for event in setup.events) + outcome.error
    assert "shouting" in texts
    assert "cannot say" in texts
    assert "canary-4711" not in texts
    with setup.journal as journal:
        lines = [line.text for line in journal.logs(outcome.run)]
        calls = "".join(call.error + call.traceback for call in journal.calls(outcome.run))
        text = journal.find(outcome.run).spec_text
    assert any("shouting" in line for line in lines)
    assert "canary-4711" not in "".join(lines) + calls + text


def test_a_run_is_resumed_from_the_text_that_the_journal_kept(setup: Setup) -> None:
    first = setup.run("pipeline: job\nn: 4\ncluster: inline")
    (setup.folder / "spec.yaml").write_text("pipeline: something else entirely")
    again = setup.resume(first.run)
    assert (again.run, again.exit_code) == (first.run, 3)


def test_a_run_that_looks_at_no_earlier_one_does_not_when_it_is_resumed_either(setup: Setup) -> None:
    setup.run("pipeline: job\nn: 4\ncluster: inline")
    second = setup.run("pipeline: job\nn: 4\ncluster: inline", fresh=True)
    with setup.journal as journal:
        assert journal.find(second.run).fresh
        made = journal.counts(second.run)["done"]
        with journal.transaction():  # as if it had been killed before it journalled anything
            journal.execute("DELETE FROM results WHERE run = ?", (second.run,))
    setup.resume(second.run)
    with setup.journal as journal:
        assert journal.counts(second.run)["done"] == made


def test_a_running_run_cannot_be_resumed(setup: Setup) -> None:
    first = setup.run("pipeline: job\nn: 1\ncluster: inline")
    with setup.journal as journal:
        journal.resume_run(journal.find(first.run))
    with pytest.raises(Locked, match="still running"):
        setup.resume(first.run)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


SAY = "pipeline: say\nwords: [a]\ncluster: inline"


def test_signals_stay_those_of_the_program_unless_they_are_asked_for(setup: Setup) -> None:
    before, during = handlers(), []
    setup.run(SAY, listeners=[lambda _: during.append(handlers())])
    assert all(each == before for each in during)
    during.clear()
    setup.run(SAY, listeners=[lambda _: during.append(handlers())], signals=True)
    assert all(each != before for each in during)
    assert handlers() == before


def test_a_run_works_in_any_thread(setup: Setup) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(setup.run, SAY).result().outputs == ["A"]
        assert pool.submit(setup.run, SAY, signals=True).result().status == "done", "there nothing can be installed"


def test_an_interrupt_of_the_program_ends_the_run_in_the_journal_and_goes_on(setup: Setup) -> None:
    (setup.folder / "pipelines" / "interrupted.py").write_text(
        "from swath import Spec, pipeline, task\n@task\ndef wait():\n    raise KeyboardInterrupt\n"
        "@pipeline\ndef interrupted(spec: Spec):\n    return wait()\n"
    )
    with pytest.raises(KeyboardInterrupt):
        setup.run("pipeline: interrupted\ncluster: inline")
    with setup.journal as journal:
        row = journal.find("last")
    assert (row.status, row.exit_code) == ("interrupted", 130)
    assert isinstance(setup.events[-1], RunDone)
    file = setup.folder / "pipelines" / "interrupted.py"
    file.write_text(file.read_text().replace("raise KeyboardInterrupt", "return 1"))
    assert setup.resume(row.id).status == "done"


def test_a_run_is_stopped_by_its_caller(setup: Setup) -> None:
    stop = Stop()

    def listener(event: Event) -> None:
        if isinstance(event, CallDone):
            stop.request(Terminated("the caller has enough"))

    outcome = setup.run("pipeline: job\nn: 1\ncluster: inline", listeners=[listener], stop=stop)
    assert (outcome.status, outcome.error) == ("terminated", "the caller has enough")


def test_a_listener_may_print(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.run(SAY, listeners=[lambda event: print(event.to_json())])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines if line["event"] == "log"] == ["shouting ['a']"]


def test_a_worker_that_imports_the_script_of_the_run_does_not_run_it_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UsageError, match="__main__"):
        setup.run(SAY)
