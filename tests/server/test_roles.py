"""Every route, asked by everybody: nobody, roles, people, agents, attempts, another project. docs/security.md says who may."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from swath.protocol.tokens import new_token
from tests.server.test_app import BODIES, NEEDS, PUBLIC, Caller, Site, claimed, site

__all__ = ["site"]
SECURITY = Path(__file__).resolve().parents[2] / "docs" / "security.md"
ROLES = ("viewer", "runner", "keeper", "admin")
OWN = {("POST", "/runs/{run}/cancel"), ("POST", "/runs/{run}/resume")}
"""Of these a runner may ask for own runs only."""
EVERYWHERE = {("GET", "/metrics")}
"""For those of all projects."""
Request = Callable[[str, str, Any], Any]


def documented() -> dict[tuple[str, str], str]:
    """Who may ask for each route, as the table in docs/security.md says."""
    _, _, text = SECURITY.read_text(encoding="utf-8").partition("| least role | routes |\n")
    table, _, _ = text.partition("\n\n")
    found = {}
    for row in table.splitlines()[1:]:
        who, routes = row.strip("| ").split(" | ", 1)
        for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", routes):
            assert (method, path) not in found
            found[method, path] = re.findall(r"\w+", who)[0]
    return found


def routes(site: Site) -> set[tuple[str, str]]:
    """All routes of the API."""
    paths = site.client.get("/api/v1/openapi.json").json()["paths"]
    return {(method.upper(), path.removeprefix("/api/v1")) for path, methods in paths.items() for method in methods}


def test_the_table_of_roles_has_every_route(site: Site) -> None:
    public = dict.fromkeys(PUBLIC, "nobody")
    assert documented() == {**NEEDS, **public}
    assert routes(site) == set(NEEDS) | PUBLIC


@dataclass
class Asker:
    """Somebody, who may do this much in the project `lakes`."""

    ask: Callable[[], Request]
    """Gives a function of method, path and body."""
    role: str = ""
    everywhere: bool = False
    kind: str = "user"
    person: bool = False

    def may(self, route: tuple[str, str], needed: str) -> bool:
        if needed in ("agent", "attempt"):
            return self.kind == needed
        if needed == "person":
            return self.person
        if needed == "any":
            return True
        if self.kind != "user" or (not self.everywhere and (needed == "admin" or route in EVERYWHERE)):
            return False
        return bool(self.role) and ROLES.index(self.role) >= ROLES.index(needed)


def token(site: Site, caller: Caller) -> Callable[[], Request]:
    def ask(method: str, path: str, body: Any) -> Any:
        return site.client.request(method, f"/api/v1{path}", json=body, headers=caller._headers)

    return lambda: ask


def person(site: Site, name: str, roles: dict[str, str]) -> Callable[[], Request]:
    """A user in a browser, who signs in anew each time."""
    site.admin("POST", "/users", {"name": name}, 201)
    for project, role in roles.items():
        site.admin("PUT", f"/projects/{project}/members/{name}", {"role": role}, 204)

    def signed_in() -> Request:
        client = TestClient(site.client.app, base_url="http://localhost")
        me = client.post("/api/v1/sessions", json={"link": site.services.sign_in.new_link(name, who="test")}).json()
        page = {"Swath-CSRF": me["csrf"], "Sec-Fetch-Site": "same-origin"}
        return lambda method, path, body: client.request(method, f"/api/v1{path}", json=body, headers=page)

    return signed_in


def test_every_route_answers_those_whom_it_is_for_and_nobody_else(site: Site) -> None:
    ada = site.user("ada", "runner")
    ended, other, going = (site.submit(ada) for _ in range(3))
    for run in (ended, other):
        site.admin("POST", f"/runs/{run}/cancel", {})
    agent, identity = site.agent("desk", "lakes")
    work = claimed(agent, identity, "desk")
    assert work["run"] == going
    others, _ = site.agent("boat", "seas")
    askers = {
        **{f"token {role}": Asker(token(site, site.user(f"a-{role}", role)), role, everywhere=True) for role in ROLES},
        **{
            f"{role} of lakes": Asker(person(site, f"p-{role}", {"lakes": role}), role, person=True)
            for role in ROLES[:3]
        },
        "member of nothing": Asker(person(site, "guest", {}), person=True),
        "agent": Asker(token(site, agent), kind="agent"),
        "attempt": Asker(token(site, Caller(site.client, work["token"])), kind="attempt"),
    }

    def address(route: tuple[str, str]) -> str:
        run = other if route in OWN else going if "attempts" in route[1] or "gone" in route[1] else ended
        return route[1].format(
            run=run,
            agent=identity,
            number=1,
            name="other",
            project="lakes",
            key="api",
            trigger="t",
            look="1",
            inquiry="0" * 24,
        )

    for route, needed in NEEDS.items():
        method, path = route[0], address(route)
        for who in (Caller(site.client), Caller(site.client, new_token("user"))):
            assert who(method, path, BODIES.get(route), 401)["exit_code"] == 4
        for name, asker in askers.items():
            if not asker.may(route, needed):
                answer = asker.ask()(method, path, BODIES.get(route))
                assert answer.status_code in (403, 404), (name, route, answer.text)
        if "{agent}" in route[1]:  # an agent of another token
            assert token(site, others)()(method, path, BODIES.get(route)).status_code == 404
    for route, needed in NEEDS.items():
        for name, asker in askers.items():
            if asker.may(route, needed) and not (route in OWN and asker.role == "runner"):
                answer = asker.ask()(route[0], address(route), BODIES.get(route))
                assert answer.status_code not in (401, 403), (name, route, answer.text)


def test_those_of_another_project_see_and_change_nothing_of_this_one(site: Site) -> None:
    run = site.submit(site.user("ada", "runner"))
    sailor = person(site, "sailor", {"seas": "keeper"})()
    for method, path in NEEDS:
        if "{run}" in path or "{project}" in path or (method, path) == ("POST", "/runs"):
            where = path.format(
                run=run, project="lakes", name="sailor", number=1, agent="x", trigger="t", inquiry="0" * 24
            )
            assert sailor(method, where, BODIES.get((method, path))).status_code in (403, 404), (method, path)
        elif method == "GET" and "{" not in path:
            text = sailor(method, path, None).text
            assert run not in text, path
            assert "lakes" not in text, path
