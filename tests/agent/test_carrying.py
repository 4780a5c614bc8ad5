"""Whose journal is carried; and the whole way: a machine is taken, and the next one makes only the calls that were not finished."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from swath.agent import container
from swath.agent.agent_file import REFERENCES, RESULTS_KEY, run_secrets
from swath.agent.attempt_end import is_made_again
from swath.agent.attempt_folder import AgentSettings, AttemptFolder, LineNumbers, ServerAddress
from swath.agent.carrying import Carrying
from swath.agent.run_code import run_code
from swath.engine.journal import Journal
from swath.launchers.settings import VertexSettings
from swath.launchers.vertex import VertexLauncher
from swath.protocol.messages import End, RunRequest, Work
from swath.secret_stores.reference import EnvSecret, FileSecret
from tests.agent.conftest import Site, wait_for
from tests.engine.test_carried_journal import RUN, row
from tests.launchers.fake_vertex import FakeVertex
from tests.storage.buckets import simulated_bucket

SECRET = "0123456789abcdef" * 2
PIPELINE = """
import time
from pathlib import Path
from swath import Spec, pipeline, task

class Job(Spec):
    calls: str
    hold: str

@task
def tile(number, *, calls, hold):
    with open(calls, "a") as file:
        file.write(f"{number}\\n")
    while number == 2 and Path(hold).exists():
        time.sleep(0.02)
    return bytes([number]) * 20000

@task
def total(tiles):
    return sum(map(len, tiles))

@pipeline
def counted(spec: Job):
    return total(tile.map(list(range(4)), calls=spec.calls, hold=spec.hold))
"""


@pytest.mark.slow
def test_a_run_whose_machine_was_taken_makes_on_the_next_one_only_what_was_not_finished(
    site: Site, vertex: FakeVertex, tmp_path: Path
) -> None:
    (site.root / "pipelines" / "counted.py").write_text(PIPELINE)
    (tmp_path / "key").write_text(SECRET)
    calls, hold = tmp_path / "calls", tmp_path / "hold"
    hold.touch()
    (tmp_path / "store").mkdir()

    def disk(name: str) -> None:
        vertex.image.update(SWATH_AGENT_HOME=str(tmp_path / name / "home"), SWATH_HOME=str(tmp_path / name / "state"))

    with simulated_bucket("s3", tmp_path / "store") as bucket:
        (site.root / "swath.yaml").write_text(f"results: {bucket}/results\n")
        vertex.image.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
        disk("first")
        settings = VertexSettings(
            kind="vertex", project="p", region=("europe-west4",), image="eu/swath:0.2", machine=("n2-highmem-2",),
            service_account="run@p.iam.gserviceaccount.com", spot=True,
        )  # fmt: skip
        launcher = VertexLauncher(settings)
        launcher.poll_s = 0.2
        secrets = {RESULTS_KEY: FileSecret(file=str(tmp_path / "key"))}
        site.agent("desk", launchers={"far": launcher}, secrets=secrets)
        spec = f"pipeline: counted\ncluster: inline\ncalls: {calls}\nhold: {hold}\n"
        run = site.submit(spec, runs_on="far", attempts=2, when_lost="again")
        wait_for(lambda: calls.exists() and "2" in calls.read_text())
        disk("second")
        (process,) = vertex.processes.values()
        process.send_signal(signal.SIGTERM)  # as the platform does before it takes a spot machine
        wait_for(lambda: len(vertex.processes) == 2)
        hold.unlink()
        info = site.end_of(run)
        told = site.lines(run)
    assert (info.status, info.attempt) == ("done", 2), info.error
    assert calls.read_text().split() == ["0", "1", "2", "2", "3"]
    assert [line for line in told if "2 calls are finished" in line]
    assert SECRET not in "".join([*told, *(file.read_text("latin-1") for file in vertex.folder.glob("*"))])
    assert not list((tmp_path / "second" / "state").glob(".carried-*"))


def attempt(tmp_path: Path, **settings: str) -> AttemptFolder:
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    (root / "swath.yaml").touch()
    work = Work(
        run=RUN, number=2, token="t", project="p", source={"folder": str(root)},
        request=RunRequest(project="p", spec="pipeline: x", attempts=3, when_lost="again"),
    )  # fmt: skip
    return AttemptFolder.create(
        tmp_path / "home", ServerAddress("http://127.0.0.1:9", "id"), work, AgentSettings(**settings)
    )


@pytest.mark.parametrize(
    ("results", "key", "text"),
    [("", SECRET, "has no `results` at an address"), ("results: here\n", SECRET, "has no `results`"),
     ("results: s3://b/r\n", "", "has no results_key")],
)  # fmt: skip
def test_a_journal_that_is_not_carried_is_told_in_the_run_s_log(
    tmp_path: Path, results: str, key: str, text: str
) -> None:
    folder = attempt(tmp_path)
    code = run_code(folder)
    (code.root / "swath.yaml").write_text(results)
    with Journal.open(code.state) as journal:
        journal.start_run(row(RUN, tmp_path))
        carrying = Carrying(folder)
        carrying.begin(code, {"SWATH_TRUST": "1"}, key, threading.Event())
        wait_for(lambda: journal.log_count(RUN))
        assert text in journal.logs(RUN)[0].text
    carrying.finish()


@pytest.mark.parametrize(
    ("server_has", "carried", "numbers"),
    [(30, 100, LineNumbers(30, 31)), (130, 100, LineNumbers(100, 131)), (0, 100, LineNumbers(0, 1))],
)
def test_lines_go_on_after_those_that_the_server_has(
    tmp_path: Path, server_has: int, carried: int, numbers: LineNumbers
) -> None:
    """The server may have lines of the last minute that no copy has; or the copy some that the server was away for."""
    folder = attempt(tmp_path)
    code = run_code(folder)
    with Journal.open(code.state) as journal:
        journal.start_run(row(RUN, tmp_path))
        journal.write_logs(RUN, [(1.0, "info", str(number), "", None, "") for number in range(carried)])
    folder.write_numbers(LineNumbers(0, server_has + 1))
    Carrying(folder)._number_lines(code)
    assert folder.numbers() == numbers


def test_the_key_of_results_is_no_variable_of_a_run_and_is_taken_for_jobs_only(tmp_path: Path) -> None:
    references = {RESULTS_KEY: EnvSecret(env="THE_KEY"), "API_KEY": EnvSecret(env="THE_API_KEY")}
    folder = attempt(tmp_path, secrets=REFERENCES.dump_json(references).decode())
    env = {"THE_KEY": SECRET, "THE_API_KEY": "x"}
    here, job = run_secrets(folder, {"THE_API_KEY": "x"}), run_secrets(folder, env, key=True)
    assert here.variables == job.variables == {"API_KEY": "x", "SWATH_SECRETS": "API_KEY"}
    assert (here.results_key, job.results_key) == ("", SECRET)
    assert SECRET not in repr(job)


def test_all_attempts_have_one_path_where_no_disk_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert container._below_home() == container._below_home() == tmp_path / ".local" / "state" / "swath" / "job"
    monkeypatch.setenv("HOME", "/proc/none")
    assert container._below_home().is_dir()


def test_an_attempt_whose_machine_was_taken_is_made_again_where_that_was_asked_for(tmp_path: Path) -> None:
    work = attempt(tmp_path).work
    taken, done = End(status="terminated", exit_code=143), End(status="done", exit_code=0)
    assert is_made_again(work, taken)
    assert not is_made_again(work, done)
    assert not is_made_again(work.model_copy(update={"number": 3}), taken)
    tell = work.request.model_copy(update={"when_lost": "tell"})
    assert not is_made_again(work.model_copy(update={"request": tell}), taken)
