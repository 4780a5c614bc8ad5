"""Runs of projects whose code is in git: agents that accept it, one commit for all attempts, and what is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.agent.attempt_folder import AgentSettings, AttemptFolder, ServerAddress
from swath.agent.run_code import run_code
from swath.errors import UsageError
from swath.protocol.messages import RunRequest, Work
from tests.agent.conftest import PIPELINE, Site, wait_for
from tests.agent.git_server import GitServer

READING = PIPELINE.replace('Path("began").touch()', "pass")
"""A pipeline that writes nothing into its project."""
SPEC = "pipeline: job\ncluster: inline\n"


@pytest.fixture
def repository(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """A repository with the project in a folder; nothing on this machine is trusted."""
    monkeypatch.setenv("SWATH_TRUST", "")
    server = GitServer(tmp_path / "host")
    server.commit({"lakes/swath.yaml": "", "lakes/pipelines/job.py": PIPELINE})
    site.server.client.call("PUT", "/projects/p", {"source": {"git": server.address, "path": "lakes"}})
    yield server
    server.close()


@pytest.mark.slow
def test_a_run_executes_the_commit_that_was_there_when_it_began_in_all_its_attempts(
    site: Site, repository: GitServer
) -> None:
    old = repository.commit({"lakes/pipelines/job.py": READING.replace("step {number}", "old {number}")})
    site.agent("desk", accepts=(repository.address,))
    run = site.submit(SPEC)
    info = site.end_of(run)
    assert (info.status, info.commit, info.repository) == ("done", old, repository.address), info.error
    new = repository.commit({"lakes/pipelines/job.py": READING.replace("step {number}", "new {number}")})
    again, named = site.end_of(site.submit(SPEC)), site.submit(SPEC, ref=old)
    assert site.server.client.run(named).commit == old  # a whole hash is known when it is asked for
    assert (again.commit, site.end_of(named).commit) == (new, old)
    assert "old 1" in site.lines(run)
    assert "new 1" in site.lines(again.id)
    trees = site.folder / "agents/desk/trees"
    wait_for(lambda: not any(list(trees.glob(f"*/{each}*")) for each in (run, again.id, named)))  # they are done


@pytest.mark.slow
def test_a_resumed_run_executes_its_commit_though_the_branch_has_moved(site: Site, repository: GitServer) -> None:
    spec, hold = site.held()
    first = repository.commit({"lakes/data": "1"})
    site.agent("desk", accepts=(repository.address,))
    run = site.submit(spec)
    wait_for(lambda: list((site.folder / "agents/desk/trees").rglob("began")))
    site.server.client.cancel(run)
    assert site.end_of(run).status == "interrupted"
    repository.commit({"lakes/pipelines/job.py": "raise SystemExit('another commit')"}, amend=True)
    repository.forget()
    hold.unlink()
    site.server.client.resume(run)
    info = site.end_of(run)
    assert (info.status, info.commit, info.attempt) == ("done", first, 2), info.error


def test_runs_wait_for_an_agent_that_accepts_their_repository(site: Site, repository: GitServer) -> None:
    site.agent("desk")
    run = site.submit(SPEC)
    wait_for(lambda: "accepts" in site.server.client.run(run).waits_for)
    assert f"pipe agent --accept {repository.address}" in site.server.client.run(run).waits_for
    site.agent("trusting", accepts=(repository.address.removesuffix("lakes.git"),))
    assert site.end_of(run).agent == "trusting"


@pytest.mark.parametrize(
    ("break_it", "status", "exit_code", "text"),
    [
        (lambda server: server.close(), "failed", 5, "127.0.0.1"),
        (lambda server: setattr(server, "token", "a:b"), "failed", 4, "could not read Username"),
        (lambda server: (server.commit({"swath.yaml": ""}) and __import__("shutil").rmtree(server.work / "lakes"))
         or server.commit({}), "refused", 2, "has no swath.yaml in 'lakes'"),
    ],
)  # fmt: skip
def test_why_code_cannot_be_had_is_the_error_of_the_run(
    site: Site, repository: GitServer, break_it: object, status: str, exit_code: int, text: str
) -> None:
    assert callable(break_it)
    break_it(repository)
    site.agent("desk", accepts=(repository.address,))
    info = site.end_of(site.submit(SPEC))
    assert (info.status, info.exit_code) == (status, exit_code)
    assert text in info.error


def test_a_ref_that_is_not_there_is_refused_and_folders_have_none(site: Site, repository: GitServer) -> None:
    site.agent("desk", accepts=(repository.address,))
    info = site.end_of(site.submit(SPEC, ref="mian"))
    assert (info.status, info.exit_code) == ("refused", 2)
    assert "no branch or tag 'mian'" in info.error
    site.server.client.call("PUT", "/projects/p", {"source": {"folder": str(site.root)}})
    with pytest.raises(UsageError, match="a folder, which has no ref"):
        site.submit(SPEC, ref="main")


@pytest.mark.parametrize("source", [{"git": "https://example.org/other.git"}, {"git": "ext::sh"}, {"bucket": "x"}])
def test_an_agent_executes_nothing_that_it_does_not_accept_whatever_its_server_says(
    tmp_path: Path, source: dict[str, object]
) -> None:
    work = Work(
        run="20261128-lake", number=1, token="swath_attempt_secret", project="lakes", source=source,
        request=RunRequest(project="lakes", spec="pipeline: predict"),
    )  # fmt: skip
    settings = AgentSettings(str(tmp_path), ("https://example.org/lakes.git",))
    folder = AttemptFolder.create(tmp_path / "attempts", ServerAddress("http://127.0.0.1:9", "id"), work, settings)
    with pytest.raises(UsageError):
        run_code(folder)


@pytest.mark.slow
def test_outputs_in_a_run_s_checkout_stay(site: Site, repository: GitServer) -> None:
    repository.commit(
        {"lakes/pipelines/job.py": PIPELINE.replace('Path("began").touch()', 'Path("map.txt").write_text("1")')}
    )
    site.agent("desk", accepts=(repository.address,))
    run = site.submit(SPEC)
    assert site.end_of(run).status == "done"
    assert (site.folder / "agents/desk/trees/p" / run / "lakes/map.txt").read_text() == "1"
