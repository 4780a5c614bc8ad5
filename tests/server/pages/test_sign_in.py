from __future__ import annotations

import pytest

from swath.server.identity import Identity
from swath.server.pages.sign_in import inside
from tests.server.pages.conftest import Pages, send


def test_every_page_asks_for_a_session_first_and_goes_on_where_one_was(pages: Pages) -> None:
    run = pages.run()
    for path in ("/runs", f"/runs/{run}", f"/runs/{run}/log", f"/runs/{run}/spec", f"/runs/{run}/events"):
        answer = pages.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")
    assert "Sign in" in pages.client.get("/sign-in").text


def test_a_password_signs_in_and_a_wrong_one_does_not(pages: Pages) -> None:
    pages.browser("ada")
    pages.services.users.set_password("ada", "a long password", who=Identity("user", "x", "root", "admin"))
    for password, status in (("wrong", 401), ("a long password", 303)):
        fields = {"name": "ada", "password": password, "next": "/runs?show=done"}
        answer = pages.client.post("/sign-in", data=fields, headers={"Origin": "http://localhost"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, status == 303)
    assert answer.headers["location"] == "/runs?show=done"


def test_a_link_that_is_only_fetched_is_not_used_up(pages: Pages) -> None:
    pages.services.users.add("ada", who="test")
    link = pages.services.sign_in.new_link("ada", who="test")
    for _ in range(2):
        answer = pages.client.get(f"/sign-in?link={link}")
        assert f'name="link" value="{link}"' in answer.text
        assert answer.headers["cache-control"] == "no-store"
    used = [
        pages.client.post("/sign-in", data={"link": link}, headers={"Origin": "http://localhost"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in used] == [303, 401]
    assert "was used or has expired" in used[1].text


def test_a_session_is_in_a_cookie_that_scripts_do_not_see_and_ends(pages: Pages) -> None:
    ada = pages.browser("ada")
    assert ada.get("/runs").status_code == 200
    answer = send(ada, "/sign-out")
    assert answer.headers["location"] == "/sign-in"
    assert ada.get("/runs").status_code == 303


def test_a_form_of_another_site_and_one_without_the_word_are_refused(pages: Pages) -> None:
    ada = pages.browser("ada")
    run = pages.run()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost"},
        {},
    ):
        answer = ada.post(f"/runs/{run}/cancel", data={"csrf": "wrong"}, headers=headers)
        assert answer.status_code == 403, headers
    assert pages.services.runs.get(run, None).state == "queued"


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "javascript:x"]
)
def test_nobody_is_sent_elsewhere(address: str) -> None:
    assert inside(address) == "/runs"
    assert inside("/runs/x?level=error") == "/runs/x?level=error"
