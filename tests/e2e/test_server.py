"""A server as its users meet it: `pipe serve` in a project, `pipe submit` and plain HTTP from elsewhere."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from swath.protocol.logins import Login, Logins
from tests.process import Pipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PIPELINE = """
from swath import Spec, pipeline, task

class Hello(Spec):
    name_of: str = "you"

@task
def greet(name):
    print(f"greeting {name}")
    return f"hello {name}"

@pipeline
def hello(spec: Hello):
    return greet(spec.name_of)
"""


@dataclass
class Served:
    """A project with its server."""

    process: subprocess.Popen[str]
    url: str
    token: str
    home: Path


@pytest.fixture
def served(pipe: Pipe, tmp_path: Path) -> Iterator[Served]:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "hello.py").write_text(PIPELINE)
    (pipe.folder / "swath.yaml").write_text("")
    (pipe.folder / "hello.yaml").write_text("pipeline: hello\ncluster: inline\n")
    home = tmp_path / "home"
    home.mkdir()
    pipe.env |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "SWATH_TRUST": "1"}
    process = pipe.start("serve", "--port", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"is served at (http://127\.0\.0\.1:\d+);", line)
    assert found, line
    yield Served(process, found[1], (pipe.folder / ".swath" / "server" / "token").read_text().strip(), home)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err


def test_a_run_from_another_folder_ends_with_its_exit_code_and_its_outputs(
    pipe: Pipe, served: Served, tmp_path: Path
) -> None:
    elsewhere = Pipe(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    elsewhere.env = pipe.env
    (elsewhere.folder / "mine.yaml").write_text("pipeline: hello\ncluster: inline\n")
    done = elsewhere("submit", "mine.yaml", "--wait", "--set", "name_of=ada")
    assert done.out == "hello ada\n"
    assert re.search(r"-mine-[a-z2-7]{8} done$", done.err.strip())
    followed = elsewhere("submit", "mine.yaml", "--follow", "--set", "name_of=bob")
    assert followed.out == "hello bob\n"
    assert "greeting bob" in followed.err
    wrong = elsewhere("submit", "mine.yaml", "--wait", "--set", "nme_of=x", code=2)
    assert "did you mean" in wrong.err
    listed = elsewhere("runs", "--server").out
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["refused", "done", "done"]
    run = listed.splitlines()[2].split()[0]
    assert "greeting bob" in elsewhere("logs", run, "--server", "-f").out
    (agent,) = [json.loads(line) for line in elsewhere("agents", "--json").out.splitlines()]
    assert (agent["busy"], agent["slots"]) == (0, 1)


def test_one_request_starts_a_run_and_another_shows_its_end(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    pool = urllib3.PoolManager()
    me = pool.request("GET", f"{served.url}/api/v1/projects", headers=headers).json()
    body = {"project": me[0]["name"], "spec": "pipeline: hello\ncluster: inline\n"}
    run = pool.request("POST", f"{served.url}/api/v1/runs", body=json.dumps(body), headers=headers).json()
    deadline = time.monotonic() + 180
    while run["state"] != "ended":
        assert time.monotonic() < deadline
        run = pool.request("GET", f"{served.url}/api/v1/runs/{run['id']}?wait_s=25", headers=headers).json()
    assert (run["status"], run["exit_code"], run["outputs"]) == ("done", 0, ["hello you"])


def test_a_team_signs_in_creates_tokens_and_projects_and_runs_agents(
    pipe: Pipe, served: Served, tmp_path: Path
) -> None:
    team = Pipe(pipe.folder)
    team.env = {**pipe.env, "XDG_CONFIG_HOME": str(tmp_path / "team"), "XDG_STATE_HOME": str(tmp_path / "state")}
    server = team.start("server", "--data", str(tmp_path / "data"), "--port", "0")
    assert server.stderr is not None
    url = server.stderr.readline().split()[4].rstrip(";")
    server.stderr.readline()
    token = (tmp_path / "data" / "admin.token").read_text()
    signed = subprocess.run(
        team.words("login", url), input=token, cwd=team.folder, env=team.env, capture_output=True, text=True, check=True
    )
    assert f"signed in to {url} as admin: admin of all projects" in signed.stderr
    assert "there is no project" not in team("project", "add", "here", "--folder", str(pipe.folder)).err
    agent_token = team("token", "create", "box", "--kind", "agent").out.strip()
    agent = team.start("agent", url, "--name", "box", "--label", "gpu", env={"SWATH_AGENT_TOKEN": agent_token})
    done = team("submit", "hello.yaml", "--label", "gpu", "--wait", "--key", "nightly")
    assert done.out == "hello you\n"
    again = team("submit", "hello.yaml", "--label", "gpu", "--wait", "--key", "nightly")
    assert again.err.splitlines()[-1] == done.err.splitlines()[-1]  # the same run
    assert "box" in team("agents").out
    copied = team("server", "backup", "--data", tmp_path / "data", tmp_path / "copy.sqlite")  # while it goes on
    assert str(tmp_path / "copy.sqlite") in copied.err
    assert team("server", "backup", "--data", tmp_path / "data", tmp_path / "copy.sqlite", code=2).err
    assert "another server uses" in team("server", "upgrade", "--data", tmp_path / "data", code=6).err
    assert agent_token not in team("token", "list").out
    people_sign_in(team, url, tmp_path / "ada")
    team("token", "revoke", "box")
    for process in (agent, server):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=180)
    assert server.returncode == 0
    assert "nothing is to be done" in team("server", "upgrade", "--data", tmp_path / "data", "--check").err
    assert "the database has version" in team("server", "upgrade", "--data", tmp_path / "data").err
    assert "--data" in team("server", code=2).err
    assert "does not answer" in team("agents", code=5).err


def people_sign_in(admin: Pipe, url: str, home: Path) -> None:
    """A new user signs in with a link and later with a password, and does what the role allows."""
    ada = Pipe(admin.folder)
    ada.env = {**admin.env, "XDG_CONFIG_HOME": str(home)}

    def tell(text: str, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            ada.words(*words), input=text, cwd=ada.folder, env=ada.env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    link = admin("user", "add", "ada").out
    assert link.startswith(f"{url}/sign-in?link=swath_link_")
    assert "as ada: in no project yet" in tell(link, "login", url)
    tell(link, "login", url, code=4)
    admin("project", "member", "here", "ada", "viewer")
    assert admin("project", "members", "here").out.split() == ["ada", "viewer"]
    assert "needs runner" in ada("submit", "hello.yaml", "--project", "here", code=4).err
    assert "a password has 10" in tell("short\n", "user", "password", code=2)
    tell("a long password\n", "user", "password")
    tell("wrong one\n", "login", url, "--user", "ada", code=4)
    assert "as ada: viewer of project here" in tell("a long password\n", "login", url, "--user", "ada")
    admin("user", "disable", "ada")
    assert "disabled" in admin("user", "list").out
    ada("agents", code=4)


def test_the_server_that_somebody_signed_in_to_stays_the_default(pipe: Pipe, tmp_path: Path) -> None:
    (pipe.folder / "swath.yaml").write_text("")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path), "SWATH_TRUST": "1"}
    pipe.env |= env
    logins = Logins.of_user(env)
    logins.save(Login("https://swath.example.org", "token"))

    def serve() -> tuple[str, str]:
        process = pipe.start("serve", "--port", "0")
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url, line
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        return url[0], line + process.communicate(timeout=180)[1]

    url, told = serve()
    assert logins.default() == "https://swath.example.org"
    assert f"SWATH_SERVER={url} pipe submit SPEC" in told
    assert logins.find(url).token.startswith("swath_user_")
    logins.save(Login(url, "token"))
    newer, told = serve()
    assert logins.default() == newer
    assert "SWATH_SERVER" not in told


def test_words_of_errors_end_the_search(pipe: Pipe, tmp_path: Path) -> None:
    pipe.env |= {"XDG_CONFIG_HOME": str(tmp_path / "nothing"), "HOME": str(tmp_path)}
    assert "`pipe serve` starts one here; `pipe login URL` signs in to one" in pipe("runs", "--server", code=2).err
    assert "an agent needs a token" in pipe("agent", "http://127.0.0.1:9", code=4).err
    assert "in the clear" in pipe("server", "--data", "d", "--host", "0.0.0.0", code=2).err
    assert "use https://" in pipe("agent", "http://swath.example.org", env={"SWATH_AGENT_TOKEN": "x"}, code=2).err


def test_a_trigger_has_the_agents_of_the_server_execute_its_runs(pipe: Pipe, served: Served) -> None:
    (pipe.folder / "swath.yaml").write_text(
        "triggers:\n  new: {sensor: files, paths: 'in/*', quiet: 0, existing: run, spec: hello.yaml, set: {name_of: '${found:name}'}}\n"
    )
    (pipe.folder / "in").mkdir()
    for name in ("ada", "bob"):
        (pipe.folder / "in" / name).touch()
    for _ in range(2):
        pipe("watch", "--once", "--server", timeout=300)
    shown = json.loads(pipe("trigger", "show", "new", "--json").out)
    assert [(run["key"], run["status"]) for run in shown["runs"]] == [("in/bob", "done"), ("in/ada", "done")]
    listed = [json.loads(line)["id"] for line in pipe("runs", "--server", "--json").out.splitlines()]
    assert {run["run"] for run in shown["runs"]} <= set(listed)  # the server fires the triggers of its project, too
