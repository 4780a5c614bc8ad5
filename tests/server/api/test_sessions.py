"""Signing in over HTTP: cookies, changes that only pages of the session may ask for, signing out."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from swath.protocol.tokens import new_token
from swath.server.app import create_app
from tests.server.test_app import SPEC, Caller, Site, claimed, site
from tests.server.test_sign_in import PASSWORD

__all__ = ["site"]
SAME = {"Sec-Fetch-Site": "same-origin"}


def person(site: Site, name: str = "ada") -> str:
    """A new user. Returns the word of a sign-in link."""
    link: str = site.admin("POST", "/users", {"name": name}, 201)["link"]
    assert link.startswith("http://localhost/sign-in?link=")
    return link.partition("=")[2]


def browser(site: Site, link: str) -> tuple[TestClient, dict[str, str]]:
    """A browser that has signed in, and the headers with which its pages ask for changes."""
    client = TestClient(site.client.app, base_url="http://localhost")
    answer = client.post("/api/v1/sessions", json={"link": link}, headers=SAME)
    assert answer.status_code == 201, answer.text
    return client, {**SAME, "Swath-CSRF": answer.json()["csrf"]}


def test_a_person_signs_in_does_what_the_roles_allow_and_signs_out(site: Site) -> None:
    person(site)
    site.admin("PUT", "/users/ada/password", {"password": PASSWORD}, 204)
    site.admin("PUT", "/projects/lakes/members/ada", {"role": "runner"}, 204)
    client = TestClient(site.client.app, base_url="http://localhost")
    answer = client.post("/api/v1/sessions", json={"name": "ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    me = client.get("/api/v1/me").json()
    assert me == answer.json()
    assert (me["name"], me["role"], me["roles"], me["person"]) == ("ada", None, {"lakes": "runner"}, True)
    page = {**SAME, "Swath-CSRF": me["csrf"]}
    run = client.post("/api/v1/runs", json={"project": "lakes", "spec": SPEC}, headers=page)
    assert run.json()["requested_by"] == "ada"
    assert client.post("/api/v1/runs", json={"project": "seas", "spec": SPEC}, headers=page).status_code == 404
    stolen = dict(client.cookies)
    assert client.delete("/api/v1/sessions/current", headers=page).status_code == 204
    assert not client.cookies
    assert TestClient(site.client.app, base_url="http://localhost", cookies=stolen).get("/api/v1/me").status_code == 401


def test_the_cookie_goes_over_https_only_where_the_server_is_reached_by_it(site: Site) -> None:
    link = person(site)
    with TestClient(create_app(site.services, secure=True), base_url="https://localhost") as client:
        answer = client.post("/api/v1/sessions", json={"link": link}, headers={"Origin": "https://localhost"})
        assert answer.headers["set-cookie"].startswith("__Host-swath=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert client.get("/api/v1/me").json()["name"] == "ada"
        wrong = client.delete(
            "/api/v1/sessions", headers={"Origin": "http://localhost", "Swath-CSRF": answer.json()["csrf"]}
        )
        assert wrong.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Origin": "http://localhost"}, 204),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Swath-CSRF": ""}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Swath-CSRF": "x" * 40}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Swath-CSRF": "\u00e4"}, 403),
    ],
)
def test_a_change_with_a_cookie_needs_a_page_of_its_session(site: Site, headers: dict[str, str], status: int) -> None:
    client, page = browser(site, person(site))
    sent = {"Swath-CSRF": page["Swath-CSRF"], **headers}
    encoded = {name: value.encode("latin-1") for name, value in sent.items()}
    assert client.delete("/api/v1/sessions", headers=encoded).status_code == status
    assert client.get("/api/v1/me").status_code == (401 if status == 204 else 200)


def test_no_changing_route_takes_a_cookie_alone(site: Site) -> None:
    site.admin("POST", "/users", {"name": "root2", "admin": True}, 201)
    client, _ = browser(site, site.admin("POST", "/users/root2/link", None, 201)["link"].partition("=")[2])
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    changing = [
        (method, path) for path, methods in paths.items() for method in methods if method not in ("get", "head")
    ]
    assert len(changing) > 20
    for method, path in changing:
        if "/hooks/" in path:  # believes signatures, and no cookie
            assert client.request(method, path, json={}).status_code in (401, 422)
        elif path not in ("/api/v1/sessions", "/api/v1/login") or method != "post":
            address = path.replace("{number}", "1").replace("{", "").replace("}", "")
            answer = client.request(method, address, json={}, headers={"Origin": "https://evil.example"})
            assert answer.status_code == 403, (method, path, answer.text)


def test_a_form_sends_its_word_as_a_field(site: Site) -> None:
    client, page = browser(site, person(site))
    form = {"Content-Type": "application/x-www-form-urlencoded", **SAME}
    path = "/api/v1/sessions"
    assert client.request("DELETE", path, content="csrf=wrong", headers=form).status_code == 403
    assert client.request("DELETE", path, content="a=1&" * 1001, headers=form).status_code == 403
    assert client.request("DELETE", path, content=f"a=1&csrf={page['Swath-CSRF']}", headers=form).status_code == 204


def test_a_page_of_another_site_signs_nobody_in(site: Site) -> None:
    link = person(site)
    client = TestClient(site.client.app, base_url="http://localhost")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert client.post("/api/v1/sessions", json={"link": link}, headers=headers).status_code == 403
    assert client.post("/api/v1/sessions", json={"link": link}).status_code == 201


def test_who_signs_in_again_has_one_session_in_this_browser(site: Site) -> None:
    client, page = browser(site, person(site))
    assert client.put("/api/v1/users/ada/password", json={"password": PASSWORD}, headers=page).status_code == 204
    before = dict(client.cookies)
    assert client.post("/api/v1/sessions", json={"name": "ada", "password": PASSWORD}).status_code == 201
    assert len(client.get("/api/v1/sessions").json()) == 1
    assert dict(client.cookies) != before
    assert TestClient(site.client.app, base_url="http://localhost", cookies=before).get("/api/v1/me").status_code == 401


def test_a_cookie_is_not_asked_where_a_token_is_sent(site: Site) -> None:
    client, _ = browser(site, person(site))
    answer = client.get("/api/v1/me", headers={"Authorization": f"Bearer {new_token('user')}"})
    assert answer.status_code == 401


def test_guesses_are_slowed_down(site: Site) -> None:
    person(site)
    client = TestClient(site.client.app, base_url="http://localhost")
    answers = [
        client.post("/api/v1/sessions", json={"name": "ada", "password": f"wrong {n}"}).status_code for n in range(6)
    ]
    assert answers == [401] * 5 + [429]
    site.admin("GET", "/users")  # who is known is not kept out


def test_a_session_does_not_get_to_guess_the_password(site: Site) -> None:
    person(site)
    site.admin("PUT", "/users/ada/password", {"password": PASSWORD}, 204)
    client = TestClient(site.client.app, base_url="http://localhost")
    csrf = client.post("/api/v1/sessions", json={"name": "ada", "password": PASSWORD}).json()["csrf"]
    page = {**SAME, "Swath-CSRF": csrf}
    answers = [
        client.put(
            "/api/v1/users/ada/password", json={"password": "another one", "old": f"{n}"}, headers=page
        ).status_code
        for n in range(5)
    ]
    assert answers == [403] * 4 + [429]  # signing in was the first of five tries
    site.admin("PUT", "/users/ada/password", {"password": "another one"}, 204)


def test_what_is_no_sign_in_is_refused_without_its_values(site: Site) -> None:
    for body in (
        {},
        {"name": "ada"},
        {"link": "x", "name": "ada", "password": "secret word"},
        {"pasword": "secret word"},
    ):
        answer = site.client.post("/api/v1/sessions", json=body)
        assert answer.status_code == 422
        assert "secret word" not in answer.text


def test_a_person_makes_tokens_for_programs(site: Site) -> None:
    client, page = browser(site, person(site))
    site.admin("PUT", "/projects/lakes/members/ada", {"role": "viewer"}, 204)
    token = client.post("/api/v1/me/tokens", json={"name": "laptop"}, headers=page).json()["token"]
    with_token = TestClient(site.client.app, base_url="http://localhost", headers={"Authorization": f"Bearer {token}"})
    assert with_token.get("/api/v1/me").json()["roles"] == {"lakes": "viewer"}
    assert [each["name"] for each in client.get("/api/v1/me/tokens").json()] == ["laptop"]
    assert token not in client.get("/api/v1/me/tokens").text
    assert client.delete("/api/v1/me/tokens/laptop", headers=page).status_code == 204
    assert with_token.get("/api/v1/me").status_code == 401


def test_a_program_signs_in_and_has_one_token_for_each_machine(site: Site) -> None:
    link = person(site)

    def login(machine: str = "desk", **proof: str) -> str:
        answer = site.client.post("/api/v1/login", json={**proof, "machine": machine})
        assert "set-cookie" not in answer.headers
        found: str = answer.json().get("token", "")
        return found

    def works(token: str) -> bool:
        return site.client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200

    first = login(link=link)
    site.admin("PUT", "/users/ada/password", {"password": PASSWORD}, 204)
    second, other = login(name="ada", password=PASSWORD), login("laptop", name="ada", password=PASSWORD)
    assert [works(token) for token in (first, second, other, login(link=link))] == [False, True, True, False]
    site.admin("PATCH", "/users/ada", {"disabled": True}, 204)
    assert not works(other)
    site.admin("GET", "/users")


def test_a_token_of_nobody_has_no_sessions_and_no_own_tokens(site: Site) -> None:
    agent, identity = site.agent("desk")
    site.submit(site.admin)
    claimed(agent, identity, "desk")
    for method, path, body in (
        ("GET", "/sessions", None), ("DELETE", "/sessions", None), ("DELETE", "/sessions/current", None),
        ("POST", "/me/tokens", {"name": "x"}), ("GET", "/me/tokens", None), ("DELETE", "/me/tokens/x", None),
    ):  # fmt: skip
        for caller in (site.admin, agent):
            caller(method, path, body, 403)


def test_the_record_says_by_which_session_or_token_and_from_where(site: Site) -> None:
    client, page = browser(site, person(site))
    token = client.post("/api/v1/me/tokens", json={"name": "ada.ci"}, headers=page).json()["token"]
    Caller(site.client, token)("DELETE", "/me/tokens/ada.ci", None, 204)
    site.services.users.add("eve", who="the server")
    entries = site.admin("GET", "/audit")["entries"]
    told = {(entry["action"], entry["who"], entry["via"], entry["address"]) for entry in entries}
    assert told >= {
        ("add user", "root", "root", "testclient"), ("sign in", "ada", "", "testclient"),
        ("create token", "ada", "session", "testclient"), ("revoke token", "ada", "ada.ci", "testclient"),
        ("add user", "the server", "", ""),
    }  # fmt: skip
