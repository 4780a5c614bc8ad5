"""The way of a browser to an identity provider and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.testclient import TestClient

from swath.server.app import create_app
from swath.server.database.open import open_database
from swath.server.oidc.oidc_file import OidcFile
from swath.server.oidc.provider import Provider
from swath.server.services import Services
from tests.server.oidc.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider
from tests.server.pages.conftest import Pages

URL = "https://swath.example.org"


class Front:
    """A server with an identity provider, behind a proxy that speaks TLS."""

    def __init__(self, services: Services, remote: IdentityProvider) -> None:
        self.services, self.remote = services, remote
        self.app = create_app(services, frozenset({"swath.example.org"}), secure=True, url=URL)
        services.users.add("ada", who="test", email="ada@example.org")
        services.projects.put("lakes", {"folder": "/lakes"}, who="test")
        services.users.set_role("lakes", "ada", "viewer", who="test")

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url=URL, follow_redirects=False)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    database = open_database(str(tmp_path / "server.sqlite"))
    with identity_provider() as remote:
        settings = OidcFile(issuer=remote.issuer, client_id=CLIENT, name="<the lab>")
        yield Front(Services.of(database, provider=Provider(settings, SECRET)), remote)
    database.close()


def cookies(answer: Any) -> list[str]:
    return [value for name, value in answer.headers.multi_items() if name == "set-cookie"]


def test_a_browser_goes_to_the_provider_and_comes_back_where_it_was(front: Front) -> None:
    browser = front.browser()
    page = browser.get("/sign-in?next=/runs%3Fshow%3Ddone")
    assert 'href="/sign-in/oidc?next=/runs%3Fshow%3Ddone">Sign in with &lt;the lab&gt;' in page.text
    away = browser.get("/sign-in/oidc?next=/runs%3Fshow%3Ddone")
    assert away.status_code == 303
    (cookie,) = cookies(away)
    assert cookie.startswith("__Host-swath_oidc=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Max-Age=600", "Path=/"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert browser.cookies["__Host-swath_oidc"].partition(".")[0] not in away.headers["location"]
    back = front.remote.sign_in(away.headers["location"])
    answer = browser.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?show=done")
    assert browser.get("/runs").status_code == 200
    assert "__Host-swath_oidc" not in browser.cookies
    again = browser.get(back)
    assert (again.status_code, "begun elsewhere" in again.text) == (401, True)


def test_a_browser_is_not_signed_in_by_anothers_way_back(front: Front) -> None:
    eve, ada = front.browser(), front.browser()
    back = front.remote.sign_in(eve.get("/sign-in/oidc").headers["location"])
    for begun in (False, True):
        if begun:
            ada.get("/sign-in/oidc")
        answer = ada.get(back)
        assert answer.status_code == 401
        assert not any(cookie.startswith("__Host-swath=") for cookie in cookies(answer))
    assert eve.get(back).headers["location"] == "/runs"


def test_the_browsers_earlier_session_ends(front: Front) -> None:
    browser = front.browser()
    secrets = []
    for _ in range(2):
        browser.get(front.remote.sign_in(browser.get("/sign-in/oidc").headers["location"]))
        secrets.append(browser.cookies["__Host-swath"])
    assert len(front.services.sessions.of(front.services.sessions.find(secrets[1]))) == 1


def test_nobody_is_sent_elsewhere_and_the_way_back_is_the_servers_own(front: Front) -> None:
    browser = front.browser()
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "Referer": "https://evil.example/"}
    for target, packed in (
        ("//evil.example", "Ly9ldmlsLmV4YW1wbGU"),
        ("https://evil.example", "aHR0cHM6Ly9ldmlsLmV4YW1wbGU"),
        ("/runs", "not base64!"),
    ):
        away = browser.get("/sign-in/oidc", params={"next": target}, headers=headers)
        asked = dict(parse_qsl(urlsplit(away.headers["location"]).query))
        assert asked["redirect_uri"] == f"{URL}/sign-in/oidc/callback"
        assert browser.get(front.remote.sign_in(away.headers["location"])).headers["location"] == "/runs"
        again = browser.get("/sign-in/oidc").headers["location"]
        word = browser.cookies["__Host-swath_oidc"].partition(".")[0]
        browser.cookies.set("__Host-swath_oidc", f"{word}.{packed}", domain="swath.example.org", path="/")
        assert browser.get(front.remote.sign_in(again)).headers["location"] == "/runs"


def test_a_refusal_is_a_page_with_the_form_and_no_session(front: Front) -> None:
    browser = front.browser()
    answer = browser.get(front.remote.sign_in(browser.get("/sign-in/oidc").headers["location"], email_verified=False))
    assert answer.status_code == 403
    assert "no verified e-mail address" in answer.text
    assert 'name="password"' in answer.text
    front.remote.discovery = {"issuer": "https://evil.example.org"}
    front.services.oidc._provider._discovered = None  # type: ignore[union-attr]
    away = browser.get("/sign-in/oidc")
    assert (away.status_code, "says that it is another issuer" in away.text) == (502, True)


def test_a_server_without_a_provider_has_no_such_button_and_no_such_pages(pages: Pages) -> None:
    assert "/sign-in/oidc" not in pages.client.get("/sign-in").text
    for path in ("/sign-in/oidc", "/sign-in/oidc/callback?code=x&state=y"):
        assert pages.client.get(path).status_code == 404
