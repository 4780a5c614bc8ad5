"""Whole runs through a server: what the agent, its supervisors and the server make of each other's absence."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from swath.agent.attempt_folder import AttemptFolder
from swath.agent.launcher import ProcessLauncher
from swath.agent.supervisor import Supervisor
from swath.agent.supervisor_limits import SupervisorLimits
from swath.engine.journal import Journal
from swath.protocol.client import Superseded
from swath.storage import fence
from tests.agent.conftest import Site, wait_for
from tests.agent.git_server import GitServer
from tests.agent.network import Network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def journal_lines(site: Site, run: str) -> list[str]:
    with Journal.open(site.root / ".swath") as journal:
        return [line.text for line in journal.logs(run)]


def pids(site: Site, role: str) -> list[int]:
    """Processes of this role in the folders of attempts."""
    return [json.loads(file.read_text())["pid"] for file in sorted(site.folder.glob(f"**/attempts/*/{role}.json"))]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def silent_for_long(site: Site, run: str = "%") -> None:
    """As if nothing had been heard for an hour. Its next beat may come at once: to be called until it is noticed."""
    site.server.services.queue._listening_since = 0.0  # as if the server had been there to hear it
    with site.server.services.database.transaction() as db:
        db.execute("UPDATE attempts SET beat = beat - 3600 WHERE run LIKE ?", (run,))


def test_a_run_is_executed_and_shown_as_its_journal_has_it(site: Site) -> None:
    site.agent()
    run = site.submit(set=["n=4"])
    end = site.end_of(run)
    assert (end.status, end.exit_code, end.outputs, end.agent, end.attempt) == ("done", 0, ("6",), "desk", 1)
    assert site.lines(run) == journal_lines(site, run)
    assert [f"step {number}" in site.lines(run) for number in range(4)] == [True] * 4
    (folder,) = (site.folder / "agents" / "desk" / "attempts").iterdir()
    wait_for((folder / "ended").exists)
    assert "token" not in "".join(file.read_text() for file in folder.iterdir() if file.is_file())


def test_a_spec_that_is_refused_says_why_and_where(site: Site) -> None:
    site.agent()
    run = site.submit("pipeline: job\ncluster: inline\nnn: 4\n")
    end = site.end_of(run)
    assert (end.status, end.exit_code) == ("refused", 2)
    assert ":3:1: nn: " in end.error
    assert "did you mean" in end.error


def test_a_project_whose_folder_is_not_here_is_told(site: Site) -> None:
    site.server.client.call("PUT", "/projects/p", {"source": {"folder": str(site.folder / "elsewhere")}})
    site.agent()
    end = site.end_of(site.submit())
    assert end.status == "failed"
    assert "elsewhere is not there on this machine" in end.error


def test_agents_take_the_runs_whose_labels_they_have(site: Site) -> None:
    site.agent("bare")
    site.agent("big", "gpu", "eu")
    runs = {site.submit(labels=["gpu"]): "big", site.submit(labels=["eu", "gpu"]): "big"}
    assert {run: site.end_of(run).agent for run in runs} == runs
    waiting = site.submit(labels=["tpu"])
    time.sleep(0.5)
    assert site.server.client.run(waiting).waits_for == "no connected agent has the labels tpu"


def test_a_cancel_stops_the_run_and_says_who_and_why(site: Site) -> None:
    site.agent()
    spec, _ = site.held()
    run = site.submit(spec)
    site.wait_began()
    site.server.client.cancel(run, "wrong area")
    end = site.end_of(run)
    assert (end.status, end.exit_code, end.error) == ("interrupted", 130, "cancelled by ada: wrong area")


def test_a_run_goes_on_while_the_server_is_away(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    site.server.stop()
    hold.unlink()
    wait_for(lambda: "finished" if journal_status(site, run) == "done" else "")
    site.server.start()
    end = site.end_of(run)
    assert (end.status, end.outputs, end.attempt) == ("done", ("3",), 1)
    assert site.lines(run) == journal_lines(site, run)


def journal_status(site: Site, run: str) -> str:
    with Journal.open(site.root / ".swath") as journal:
        return journal.find(run).status


def test_runs_outlive_the_agent_that_started_them(site: Site) -> None:
    spec, hold = site.held()
    agent = site.agent_process()
    run = site.submit(spec)
    site.wait_began()
    agent.kill()
    agent.wait(120)
    site.agent_process()
    time.sleep(0.5)
    hold.unlink()
    end = site.end_of(run)
    assert (end.status, end.outputs, end.attempt) == ("done", ("3",), 1)
    assert len(pids(site, "supervisor")) == 1
    assert site.lines(run) == journal_lines(site, run)


def test_a_supervisor_that_is_killed_is_replaced_and_no_line_comes_twice(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    (supervisor,) = pids(site, "supervisor")
    kill(supervisor)
    wait_for(lambda: pids(site, "supervisor") != [supervisor])
    hold.unlink()
    end = site.end_of(run)
    assert (end.status, end.attempt) == ("done", 1)
    assert site.lines(run) == journal_lines(site, run)


@pytest.mark.parametrize("point", ["claimed", "spawned"])
def test_a_kill_between_two_steps_of_a_start_costs_nothing_and_starts_nothing_twice(
    site: Site, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATH_CRASH_AT", point)
    agent = site.agent_process()
    spec, hold = site.held()
    run = site.submit(spec)
    if point == "claimed":
        agent.wait(120)
        monkeypatch.delenv("SWATH_CRASH_AT")
        site.agent_process()
    wait_for(lambda: pids(site, "run"))
    site.wait_began()
    wait_for(lambda: site.state(run) == "running")
    hold.unlink()
    end = site.end_of(run)
    assert (end.status, end.outputs, end.attempt) == ("done", ("3",), 1)
    assert site.lines(run) == journal_lines(site, run)
    assert len([text for text in site.lines(run) if text == "step 0"]) == 1


def test_an_attempt_has_one_supervisor(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    (folder,) = AttemptFolder.all(site.folder / "agents" / "desk" / "attempts")
    first = pids(site, "supervisor")
    assert ProcessLauncher().alive(folder)  # as an agent sees it that has not started it
    second = Supervisor(folder, SupervisorLimits(lock_s=0.2))
    second.run()  # ends at once
    assert not folder.ended
    assert pids(site, "supervisor") == first
    hold.unlink()
    assert site.end_of(run).status == "done"


def test_supervisors_follow_their_server_to_another_port(site: Site) -> None:
    agent = site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    site.server.stop()
    site.end_agent(agent)
    hold.unlink()
    wait_for(lambda: journal_status(site, run) == "done")
    site.server.port = 0  # any other: nothing says that the old one is free
    site.server.start()
    site.agent()
    end = site.end_of(run)
    assert (end.status, end.outputs, end.attempt) == ("done", ("3",), 1)
    assert site.lines(run) == journal_lines(site, run)


def test_a_run_whose_process_is_killed_is_told_and_can_be_asked_for_again(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    (process,) = pids(site, "run")
    kill(process)
    end = site.end_of(run)
    assert (end.status, end.exit_code, end.error) == ("crashed", 137, "its process ended by signal 9")
    hold.unlink()
    assert site.end_of(site.submit(spec)).status == "done"


PUBLISHING = """
import os
import time
from pathlib import Path
from swath import Spec, pipeline, task
from swath.storage.publication import Staging

class Job(Spec):
    to: str
    hold: str = ""

@task
def publish(*, to, hold):
    Path(f"{to}.began").touch()
    while hold and Path(hold).exists():
        time.sleep(0.02)
    Path(f"{to}.{os.getpid()}").touch()
    with Staging(to, f"run-{os.getpid()}") as staging:  # two machines have two folders
        staging.destination("map").write_text(str(os.getpid()))
        staging.publish({})
    return os.getpid()

@pipeline
def job(spec: Job):
    return publish(to=spec.to, hold=spec.hold)
"""


def test_of_two_attempts_with_a_cut_network_between_one_publishes_and_other_runs_are_not_disturbed(site: Site) -> None:
    """Two machines: each agent has its own copy of the project's commit, and its own journal."""
    repository = GitServer(site.folder / "host")
    repository.commit({"swath.yaml": "", "pipelines/job.py": PUBLISHING})
    site.server.client.call("PUT", "/projects/p", {"source": {"git": repository.address}})
    out = {name: site.folder / name for name in ("given-up", "patient")}
    _, hold = site.held()
    spec = f"pipeline: job\ncluster: inline\nhold: {hold}\nto: {site.folder}"
    with contextlib.closing(Network(site.server.port)) as network:
        site.agent("first", accepts=(repository.address,), url=network.url)
        given_up = site.submit(f"{spec}/given-up\n", attempts=2, when_lost="again")
        patient = site.submit(f"{spec}/patient\n")
        for place in out.values():
            wait_for(Path(f"{place}.began").exists)
        wait_for(lambda: site.state(given_up) == site.state(patient) == "running")
        network.cut()
        wait_for(lambda: silent_for_long(site, given_up) or site.state(given_up) == "queued")
        folders = AttemptFolder.all(site.folder / "agents/first/attempts")
        (folder,) = (each for each in folders if each.work.run == given_up)
        fence.write_fence(
            folder.fence, fence.now() - 1
        )  # as if the minutes had passed after which the server gave it up
        hold.unlink()
        process = folder.process("run")
        assert process is not None
        wait_for(Path(f"{out['given-up']}.{process.pid}").exists)  # it is about to publish
        wait_for((out["patient"] / "map").exists)  # nobody has given this one up: it does not wait for the server
        assert (site.state(patient), out["given-up"].exists()) == ("running", False)
        site.agent("second", accepts=(repository.address,))
        end = site.end_of(given_up)
        assert (end.status, end.attempt, end.agent) == ("done", 2, "second")
        published = (out["given-up"] / "map").read_text()
        assert published != str(process.pid)
        network.mend()
        end = site.end_of(patient)
        assert (end.status, end.attempt, end.agent) == ("done", 1, "first")
        wait_for(process.gone)
    assert (out["given-up"] / "map").read_text() == published


@pytest.mark.parametrize("policy", [{"attempts": 2, "when_lost": "again"}, {}])
def test_a_run_has_a_fence_that_its_supervisor_keeps_valid(site: Site, policy: dict[str, object]) -> None:
    """Also one that is not tried again: the server may have given it up, and somebody may have asked for it once more."""
    site.agent()
    spec, hold = site.held()
    site.submit(spec, **policy)
    site.wait_began()
    (process,) = pids(site, "run")
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    (path,) = [entry.partition(b"=")[2] for entry in environment if entry.startswith(b"SWATH_FENCE=")]
    assert not [entry for entry in environment if b"swath_attempt_" in entry or b"swath_agent_" in entry]
    file = Path(path.decode())
    wait_for(file.exists)
    first = float(file.read_text())
    assert first > fence.now()
    wait_for(lambda: float(file.read_text()) > first)
    site.server.stop()
    time.sleep(1)
    assert float(file.read_text()) > fence.now()  # valid for a while without the server
    site.server.start()
    wait_for(lambda: silent_for_long(site) or float(file.read_text()) == 0)
    hold.unlink()


def test_an_agent_that_has_lost_its_folder_says_so(site: Site) -> None:
    agent = site.agent()
    spec, _ = site.held()
    run = site.submit(spec)
    site.wait_began()
    site.end_agent(agent)
    for role in ("supervisor", "run"):
        for pid in pids(site, role):
            kill(pid)
    for folder in AttemptFolder.all(site.folder / "agents" / "desk" / "attempts"):
        folder.remove()
    site.agent()
    end = site.end_of(run)
    assert (end.status, end.exit_code) == ("lost", 5)
    assert "does not have it any more" in end.error


def test_a_second_agent_of_one_name_ends_the_first(site: Site) -> None:
    site.agent()
    wait_for(lambda: site.server.client.agents())
    newer = site.agent_process()  # its folder is another one: as on another machine
    wait_for(lambda: not site.alive("desk"))
    assert newer.poll() is None
    assert site.end_of(site.submit()).status == "done"


def test_what_does_not_fit_any_more_is_refused(site: Site) -> None:
    site.agent()
    run = site.submit()
    site.end_of(run)
    with pytest.raises(Superseded, match="has ended already"):
        site.server.client.cancel(run)


def test_a_supervisor_that_is_stopped_for_a_while_is_shown_as_silent_and_goes_on(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    wait_for(lambda: site.state(run) == "running")
    (supervisor,) = pids(site, "supervisor")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        with site.server.services.database.transaction() as db:
            db.execute("UPDATE attempts SET beat = beat - 120")
        wait_for(lambda: site.server.client.run(run).silent_s > 60)
        assert site.state(run) == "running"
    finally:
        os.kill(supervisor, signal.SIGCONT)
    wait_for(lambda: site.server.client.run(run).silent_s == 0)
    hold.unlink()
    end = site.end_of(run)
    assert (end.status, end.attempt) == ("done", 1)
    assert site.lines(run) == journal_lines(site, run)


def test_a_cancel_reaches_a_run_whose_agent_was_killed(site: Site) -> None:
    agent = site.agent_process()
    spec, _ = site.held()
    run = site.submit(spec)
    site.wait_began()
    agent.kill()
    agent.wait(120)
    site.server.client.cancel(run, "wrong area")
    end = site.end_of(run)
    assert (end.status, end.exit_code, end.error) == ("interrupted", 130, "cancelled by ada: wrong area")


def test_code_that_nobody_trusts_on_the_agents_machine_is_not_executed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server names a folder; whether its code may run is decided on the agent's machine."""
    monkeypatch.delenv("SWATH_TRUST")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.folder / "config"))
    site.agent()
    end = site.end_of(site.submit())
    assert (end.status, end.exit_code) == ("refused", 2)
    assert "pipe trust" in end.error
    assert not (site.root / "began").exists()


def test_a_run_that_was_cancelled_is_resumed_where_its_journal_is(site: Site) -> None:
    site.agent()
    spec, hold = site.held()
    run = site.submit(spec)
    site.wait_began()
    site.server.client.cancel(run)
    assert site.end_of(run).status == "interrupted"
    hold.unlink()
    site.server.client.resume(run)
    end = site.end_of(run)
    assert (end.status, end.outputs, end.attempt) == ("done", ("3",), 2)
    assert site.lines(run) == journal_lines(site, run)
