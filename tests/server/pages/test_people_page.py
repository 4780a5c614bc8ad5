from __future__ import annotations

import re

from starlette.testclient import TestClient

from tests.server.pages.conftest import Pages, send


def test_a_user_is_added_with_a_role_and_signs_in_with_the_link(pages: Pages) -> None:
    ada = pages.browser("ada")
    answer = send(ada, "/people", name="ben", role="runner", project="lakes")
    link = re.search(r"link=(swath_link_\w+)", answer.text)
    assert (answer.status_code, link is not None) == (201, True)
    ben = TestClient(pages.client.app, base_url="http://localhost", follow_redirects=False)
    assert link is not None
    signed = ben.post("/sign-in", data={"link": link[1]}, headers={"Origin": "http://localhost"})
    assert signed.status_code == 303
    assert ben.get("/new").status_code == 200
    assert ben.get("/people").status_code == 403
    assert 'href="/people"' not in ben.get("/runs").text
    assert send(ada, "/people/ben/role", project="lakes", role="viewer").status_code == 303
    assert ben.get("/new").status_code == 403
    assert send(ada, "/people/ben/disable", disabled="1").status_code == 303
    assert ben.get("/runs").status_code == 303
    assert send(ada, "/people/ben/disable", disabled="0").status_code == 303
    assert "swath_link_" in send(ada, "/people/ben/link").text
    assert link[1] not in ada.get("/people").text


def test_what_is_wrong_adds_nobody(pages: Pages) -> None:
    ada = pages.browser("ada")
    for fields in (
        {"name": "<b>", "role": "runner", "project": "lakes"}, {"name": "x", "role": "owner", "project": "lakes"},
        {"name": "x", "role": "runner", "project": ""}, {"name": "ada", "role": "runner", "project": "lakes"},
    ):  # fmt: skip
        answer = send(ada, "/people", **fields)
        assert answer.status_code in (409, 422), fields
        assert 'role="alert"' in answer.text
    assert send(ada, "/people/ada/disable", disabled="1").status_code == 409
    assert [each["name"] for each in pages.services.users.all()] == ["ada"]


def test_only_admins_change_people(pages: Pages) -> None:
    ben = pages.browser("ben", "keeper", "lakes")
    for address in ("/people", "/people/ben/role", "/people/ben/link", "/people/ben/disable"):
        assert send(ben, address, name="eve", role="admin", project="lakes").status_code == 403, address
