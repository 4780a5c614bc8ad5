"""The API over HTTP: runs are asked for, claimed, reported and shown, by those who may."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from swath.protocol.messages import AgentRegistration
from swath.server.accounts import Accounts
from swath.server.agents import Agents
from swath.server.api.agents import check_version
from swath.server.app import create_app
from swath.server.database.database import Database, DatabaseUnavailable
from swath.server.rate_limit import Rate
from swath.server.refusals import Conflict, Refusal
from swath.server.services import ServerLimits, Services
from swath.version import __version__

SPEC = "pipeline: predict\nname: lake\n"


class Caller:
    """Somebody with a token."""

    def __init__(self, client: TestClient, token: str = "") -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = self._client.request(
            method,
            f"/api/v1{path}",
            json=body,
            headers={**self._headers, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.json() if answer.content else None


class Site:
    """A server with a project, its admin and makers of other callers."""

    def __init__(self, client: TestClient, services: Services) -> None:
        self.client = client
        self.services = services
        self.admin = self.user("root", "admin")
        self.admin("PUT", "/projects/lakes", {"source": {"folder": "/lakes"}}, 204)
        self.admin("PUT", "/projects/seas", {"source": {"folder": "/seas"}}, 204)

    def user(self, name: str, role: str, project: str | None = None) -> Caller:
        return Caller(self.client, self.services.accounts.create("user", name, role, who="test", project=project))

    def agent(self, name: str, project: str | None = None, **about: Any) -> tuple[Caller, str]:
        """An agent and its id."""
        token = self.services.accounts.create("agent", f"token of {name}", "runner", who="test", project=project)
        caller = Caller(self.client, token)
        body = {"name": name, "session": f"session of {name}", "slots": 2, "version": "0.2.0", **about}
        return caller, caller("POST", "/agents", body)["id"]

    def submit(self, who: Caller, project: str = "lakes", **request: Any) -> str:
        found: str = who("POST", "/runs", {"project": project, "spec": SPEC, **request}, 201)["id"]
        return found


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    services = Services.of(database, limits=ServerLimits(failures=Rate(per_s=1000, burst=1000)))
    with TestClient(create_app(services), base_url="http://localhost") as client:
        yield Site(client, services)


def claimed(agent: Caller, identity: str, name: str, claim: str = "", wait_s: float = 0, status: int = 200) -> Any:
    body = {"session": f"session of {name}", "claim": claim or f"claim {time.monotonic_ns()}", "wait_s": wait_s}
    return agent("POST", f"/agents/{identity}/claim", body, status)


def test_a_run_from_its_request_to_its_end(site: Site) -> None:
    ada = site.user("ada", "runner")
    asked = ada("POST", "/runs", {"project": "lakes", "spec": SPEC, "set": ["region=512"]}, 201)
    assert (asked["name"], asked["pipeline"], asked["state"], asked["requested_by"]) == (
        "lake",
        "predict",
        "queued",
        "ada",
    )
    assert asked["waits_for"] == "no agent is connected: `pipe agent` starts one"
    agent, identity = site.agent("desk")
    work = claimed(agent, identity, "desk")
    assert (work["run"], work["number"], work["source"]) == (asked["id"], 1, {"folder": "/lakes"})
    assert work["request"]["set"] == ["region=512"]
    supervisor, place = Caller(site.client, work["token"]), f"/attempts/{asked['id']}/1"
    assert supervisor("POST", f"{place}/beat", {})["next_line"] == 1
    lines = [
        {"id": n, "time": 5.0, "level": level, "text": f"line {n}"} for n, level in enumerate(("info", "warning"), 1)
    ]
    assert supervisor("POST", f"{place}/lines", {"lines": lines}) == {"next_line": 3, "cancel": ""}
    assert [run["agent"] for run in ada("GET", "/runs?state=running")["runs"]] == ["desk"]
    end = {"status": "done", "exit_code": 0, "outputs": ["out/map.tif"], "summary": {"calls": 9}}
    supervisor("POST", f"{place}/end", end, 204)
    ended = ada("GET", f"/runs/{asked['id']}")
    assert (ended["state"], ended["status"], ended["exit_code"], ended["outputs"]) == (
        "ended",
        "done",
        0,
        ["out/map.tif"],
    )
    page = ada("GET", f"/runs/{asked['id']}/lines")
    assert ([line["text"] for line in page["lines"]], page["next"], page["ended"]) == (["line 1", "line 2"], 2, True)
    assert [line["id"] for line in ada("GET", f"/runs/{asked['id']}/lines?level=warning")["lines"]] == [2]
    assert supervisor("POST", f"{place}/beat", {}, 409)["exit_code"] == 6


def test_a_claim_that_waits_gets_the_run_at_once(site: Site) -> None:
    ada = site.user("ada", "runner")
    agent, identity = site.agent("desk")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(claimed(agent, identity, "desk", wait_s=25)))
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    run = site.submit(ada)
    thread.join(60)
    assert found[0]["run"] == run
    assert time.monotonic() - began < 20  # it was woken, and did not wait to its end
    claimed(agent, identity, "desk", wait_s=0.1, status=204)


def test_an_answer_that_was_lost_is_asked_for_again(site: Site) -> None:
    ada = site.user("ada", "runner")
    body = {"project": "lakes", "spec": SPEC}
    first = ada("POST", "/runs", body, 201, Idempotency_Key="nightly")
    assert ada("POST", "/runs", body, 201, Idempotency_Key="nightly")["id"] == first["id"]
    wrong = ada("POST", "/runs", {**body, "priority": 3}, 422, Idempotency_Key="nightly")
    assert "nightly" in wrong["detail"]
    assert wrong["remedy"]


def test_a_spec_that_is_wrong_is_refused_with_its_place(site: Site) -> None:
    ada = site.user("ada", "runner")
    wrong = ada("POST", "/runs", {"project": "lakes", "spec": "pipeline: predict\nname: [1\n"}, 422)
    assert wrong["detail"].startswith("spec:3:1: ")
    assert [(each["line"], each["column"]) for each in wrong["mistakes"]] == [(3, 1)]
    assert wrong["exit_code"] == 2
    assert "names its pipeline" in ada("POST", "/runs", {"project": "lakes", "spec": "name: x"}, 422)["detail"]
    assert ada("POST", "/runs", {"project": "lakes", "spec": SPEC, "labls": []}, 422)["detail"].startswith(
        "body.labls: "
    )


def test_pages_of_runs_come_newest_first_and_overlap_nowhere(site: Site) -> None:
    ada = site.user("ada", "runner")
    runs = [site.submit(ada) for _ in range(5)]
    found, cursor = [], ""
    for _ in range(3):
        page = ada("GET", f"/runs?limit=2{cursor}")
        found += [run["id"] for run in page["runs"]]
        cursor = f"&cursor={page['next']}"
    assert found == runs[::-1]
    assert page["next"] is None
    ada("GET", "/runs?cursor=wrong", status=400)


def test_of_two_agents_of_one_name_the_newer_goes_on(site: Site) -> None:
    ada = site.user("ada", "runner")
    agent, identity = site.agent("desk")
    run = site.submit(ada)
    claimed(agent, identity, "desk")
    newer = agent("POST", "/agents", {"name": "desk", "session": "another session", "slots": 2, "version": "0.2.0"})
    assert newer["id"] == identity
    assert newer["attempts"] == [{"run": run, "number": 1}]
    assert "another process" in claimed(agent, identity, "desk", status=409)["detail"]
    other = Caller(site.client, site.services.accounts.create("agent", "other", "runner", who="test"))
    wrong = other("POST", "/agents", {"name": "desk", "session": "a third one", "slots": 1, "version": "0.2.0"}, 409)
    assert "another token" in wrong["detail"]
    claimed(other, identity, "desk", status=404)


def test_a_cancel_is_told_to_the_supervisor(site: Site) -> None:
    ada, bob, keeper = site.user("ada", "runner"), site.user("bob", "runner"), site.user("eve", "keeper")
    run = site.submit(ada)
    agent, identity = site.agent("desk")
    work = claimed(agent, identity, "desk")
    supervisor = Caller(site.client, work["token"])
    supervisor("POST", f"/attempts/{run}/1/beat", {})
    assert bob("POST", f"/runs/{run}/cancel", {}, 403)["exit_code"] == 4
    keeper("POST", f"/runs/{run}/cancel", {"reason": "wrong area"})
    assert supervisor("POST", f"/attempts/{run}/1/beat", {})["cancel"] == "cancelled by eve: wrong area"


def test_the_name_of_an_expired_token_is_free(site: Site) -> None:
    now = [1000.0]
    accounts = Accounts(site.services.database, clock=lambda: now[0])
    agents = Agents(site.services.database, clock=lambda: now[0])
    old = accounts.identify(accounts.create("agent", "box", "runner", who="test", valid_s=60))
    about = AgentRegistration(name="desk", session="session 1", slots=1, version="0.2.0")
    identity = agents.register(about, old)
    other = accounts.identify(accounts.create("agent", "other", "runner", who="test"))
    with pytest.raises(Conflict, match="another token"):
        agents.register(about, other)
    with pytest.raises(Conflict, match="token 'box' already"):
        accounts.create("agent", "box", "runner", who="test")
    now[0] += 61
    assert agents.register(about, accounts.identify(accounts.create("agent", "box", "runner", who="test"))) == identity


def test_of_several_servers_that_start_at_once_one_makes_the_first_token(site: Site) -> None:
    site.services.accounts.revoke("root", who="test")
    written: list[str] = []

    def first(number: int) -> bool:
        return Accounts(site.services.database).create_first("admin", written.append, who=f"server {number}")

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(first, range(6))) == 1
    (token,) = written
    assert site.services.accounts.identify(token).role == "admin"


def test_a_queued_run_waits_for_agents_that_may_take_it(site: Site) -> None:
    ada, lake = site.user("ada", "runner"), site.user("lake", "viewer", "lakes")
    site.agent("boat", project="seas")
    run = site.submit(ada)
    told = ada("GET", f"/runs/{run}")["waits_for"]
    assert told == "no agent that takes runs of lakes is connected: `pipe agent` starts one"
    assert lake("GET", "/agents") == []
    site.agent("desk", project="lakes")
    assert ada("GET", f"/runs/{run}")["waits_for"] == ""
    assert [agent["project"] for agent in lake("GET", "/agents")] == ["lakes"]
    assert len(ada("GET", "/agents")) == 2


def test_a_database_that_is_away_is_503_with_a_time_to_come_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = site.user("ada", "runner")

    def away(*arguments: object, **named: object) -> None:
        raise DatabaseUnavailable("the database at db.internal does not answer")

    monkeypatch.setattr(site.services.queue, "submit", away)
    answer = site.client.post("/api/v1/runs", json={"project": "lakes", "spec": SPEC}, headers=ada._headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "db.internal" not in answer.text


def test_an_agent_of_a_version_that_is_too_far_away_is_refused_with_both(site: Site) -> None:
    token = site.services.accounts.create("agent", "box", "runner", who="test")
    body = {"name": "desk", "session": "session 1", "slots": 1}
    told = Caller(site.client, token)("POST", "/agents", {**body, "version": "9.9.1"}, 426)
    assert f"this server has swath {__version__}, the agent 9.9.1" in told["detail"]
    check_version("1.4.0", own="1.5.2")
    check_version("1.6.dev1", own="1.5.2")
    for wrong in ("1.3.9", "1.7.0", "2.5.2"):
        with pytest.raises(Refusal):
            check_version(wrong, own="1.5.2")


PUBLIC = {("GET", "/healthz"), ("POST", "/sessions"), ("POST", "/login"), ("POST", "/hooks/{project}/{trigger}")}
NEEDS = {  # the least role, as in the table of docs/security.md; other kinds of token are refused unless they are named
    ("POST", "/runs"): "runner", ("GET", "/runs"): "viewer", ("GET", "/runs/{run}"): "viewer",
    ("GET", "/runs/{run}/live"): "viewer", ("PUT", "/attempts/{run}/{number}/live"): "attempt",
    ("GET", "/runs/{run}/lines"): "viewer", ("POST", "/runs/{run}/cancel"): "runner", ("GET", "/me"): "any",
    ("POST", "/agents"): "agent", ("GET", "/agents"): "viewer", ("POST", "/agents/{agent}/claim"): "agent",
    ("POST", "/agents/{agent}/gone/{run}"): "agent", ("POST", "/attempts/{run}/{number}/beat"): "attempt",
    ("POST", "/attempts/{run}/{number}/lines"): "attempt", ("POST", "/attempts/{run}/{number}/end"): "attempt",
    ("GET", "/projects"): "viewer", ("PUT", "/projects/{name}"): "admin", ("GET", "/tokens"): "admin",
    ("POST", "/tokens"): "admin", ("DELETE", "/tokens/{name}"): "admin", ("POST", "/agents/{name}/pause"): "admin",
    ("POST", "/projects/{project}/runs"): "runner", ("POST", "/runs/{run}/resume"): "runner",
    ("GET", "/runs/{run}/events"): "viewer", ("GET", "/audit"): "admin", ("GET", "/metrics"): "viewer",
    ("PUT", "/projects/{name}/limits/{key}"): "admin", ("GET", "/sessions"): "person", ("DELETE", "/sessions"): "person",
    ("DELETE", "/sessions/current"): "person", ("GET", "/me/tokens"): "person", ("POST", "/me/tokens"): "person",
    ("DELETE", "/me/tokens/{name}"): "person", ("GET", "/users"): "admin", ("POST", "/users"): "admin",
    ("PATCH", "/users/{name}"): "admin", ("PUT", "/users/{name}/password"): "admin", ("POST", "/users/{name}/link"): "admin",
    ("GET", "/projects/{project}/members"): "keeper", ("PUT", "/projects/{project}/members/{name}"): "keeper",
    ("DELETE", "/projects/{project}/members/{name}"): "keeper",
    ("POST", "/attempts/{run}/{number}/work"): "attempt",
    ("GET", "/projects/{project}/triggers"): "viewer", ("GET", "/projects/{project}/triggers/{trigger}"): "viewer",
    ("PUT", "/projects/{project}/triggers/{trigger}"): "keeper", ("DELETE", "/projects/{project}/triggers/{trigger}"): "keeper",
    ("POST", "/projects/{project}/triggers/{trigger}/pause"): "keeper",
    ("POST", "/projects/{project}/triggers/{trigger}/resume"): "keeper",
    ("POST", "/projects/{project}/triggers/{trigger}/fire"): "runner", ("POST", "/agents/{agent}/look"): "agent",
    ("POST", "/agents/{agent}/look/{look}/found"): "agent", ("POST", "/agents/{agent}/look/{look}/triggers"): "agent",
    ("POST", "/agents/{agent}/inquiries"): "agent", ("PUT", "/agents/{agent}/inquiries/{inquiry}"): "agent",
}  # fmt: skip
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/runs"): {"project": "lakes", "spec": SPEC}, ("POST", "/runs/{run}/cancel"): {},
    ("POST", "/agents"): {"name": "x", "session": "12345678", "slots": 1, "version": "0.2.0"},
    ("POST", "/agents/{agent}/claim"): {"session": "12345678", "claim": "1234567890123456"},
    ("POST", "/agents/{agent}/gone/{run}"): {"number": 1, "error": ""}, ("POST", "/attempts/{run}/{number}/beat"): {},
    ("POST", "/attempts/{run}/{number}/lines"): {"lines": [{"id": 1, "time": 1, "level": "info", "text": ""}]},
    ("PUT", "/attempts/{run}/{number}/live"): {"nodes": []},
    ("POST", "/attempts/{run}/{number}/end"): {"status": "done", "exit_code": 0},
    ("PUT", "/projects/{name}"): {"source": {"folder": "/x"}}, ("POST", "/tokens"): {"name": "new", "kind": "user"},
    ("POST", "/agents/{name}/pause"): {"paused": True}, ("PUT", "/projects/{name}/limits/{key}"): {"most": 1},
    ("POST", "/agents/{agent}/inquiries"): {"session": "12345678"}, ("PUT", "/agents/{agent}/inquiries/{inquiry}"): {},
    ("POST", "/me/tokens"): {"name": "mine"}, ("POST", "/users"): {"name": "new"}, ("PATCH", "/users/{name}"): {},
    ("PUT", "/users/{name}/password"): {"password": "x"}, ("PUT", "/projects/{project}/members/{name}"): {"role": "viewer"},
    ("PUT", "/projects/{project}/triggers/{trigger}"): {"definition": {"every": "1h"}, "spec": SPEC},
    ("POST", "/projects/{project}/triggers/{trigger}/fire"): {}, ("POST", "/projects/{project}/triggers/{trigger}/resume"): {},
    ("POST", "/agents/{agent}/look"): {"session": "session of desk"},
    ("POST", "/agents/{agent}/look/{look}/found"): {"session": "12345678", "fence": 1},
    ("POST", "/agents/{agent}/look/{look}/triggers"): {"session": "12345678", "fence": 1},
}  # fmt: skip


def test_a_token_of_one_project_knows_of_no_other(site: Site) -> None:
    everybody, lakes = site.user("ada", "runner"), site.user("bob", "admin", "lakes")
    sea = site.submit(everybody, "seas")
    lake = site.submit(everybody, "lakes")
    assert [run["id"] for run in lakes("GET", "/runs")["runs"]] == [lake]
    for method, path in (("GET", f"/runs/{sea}"), ("GET", f"/runs/{sea}/lines"), ("POST", f"/runs/{sea}/cancel")):
        lakes(method, path, {} if method == "POST" else None, 404)
    lakes("GET", "/runs?project=seas", status=404)
    lakes("POST", "/runs", {"project": "seas", "spec": SPEC}, 404)
    assert [project["name"] for project in lakes("GET", "/projects")] == ["lakes"]
    for method, path, body in (
        ("POST", "/tokens", {"name": "all", "kind": "user", "role": "admin"}), ("GET", "/tokens", None),
        ("PUT", "/projects/lakes", {"source": {"folder": "/"}}), ("DELETE", "/tokens/root", None),
    ):  # fmt: skip
        assert "of lakes only" in lakes(method, path, body, 403)["detail"]
    agent, identity = site.agent("desk", "lakes")
    assert claimed(agent, identity, "desk")["run"] == lake
    claimed(agent, identity, "desk", status=204)


def test_a_revoked_or_expired_token_is_refused(site: Site) -> None:
    made = site.admin("POST", "/tokens", {"name": "ci", "kind": "user"}, 201)
    ci = Caller(site.client, made["token"])
    assert ci("GET", "/me") == {
        "kind": "user", "name": "ci", "role": "runner", "roles": {}, "person": False, "csrf": "",
    }  # fmt: skip
    site.admin("POST", "/tokens", {"name": "ci", "kind": "user"}, 409)
    assert made["token"] not in json.dumps(site.admin("GET", "/tokens"))
    site.admin("DELETE", "/tokens/ci", status=204)
    ci("GET", "/me", status=401)
    site.admin("DELETE", "/tokens/ci", status=404)
    short = site.admin("POST", "/tokens", {"name": "short", "kind": "user", "valid_s": 0.01}, 201)
    time.sleep(0.05)
    Caller(site.client, short["token"])("GET", "/me", status=401)


def test_the_database_has_no_token(site: Site) -> None:
    agent, identity = site.agent("desk")
    site.submit(site.user("ada", "runner"))
    token = claimed(agent, identity, "desk")["token"]
    with site.services.database.reading() as db:
        kept = json.dumps(
            [
                dict(row)
                for table in ("tokens", "attempts", "runs", "audit")
                for row in db.execute(f"SELECT * FROM {table}")
            ]
        )
    assert token not in kept
    assert "swath_" not in kept


def test_another_hosts_name_and_what_is_too_large_are_refused(database: Database) -> None:
    services = Services.of(database, limits=ServerLimits(body=1000, failures=Rate(per_s=0.001, burst=2)))
    with TestClient(create_app(services), base_url="http://localhost") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
        assert client.post("/api/v1/runs", content=b"x" * 1001).status_code == 413
        assert client.post("/api/v1/runs", content=iter([b"x" * 600] * 2)).status_code in (400, 413)
        answers = [client.get("/api/v1/me").status_code for _ in range(4)]
        assert answers[-1] == 429


def test_what_the_server_answers_may_not_be_cached(site: Site) -> None:
    answer = site.client.get("/healthz")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["swath-version"]
