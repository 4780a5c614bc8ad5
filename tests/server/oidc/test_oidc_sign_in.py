"""Which user of the server somebody is whom an identity provider has signed in, and what that user may do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from swath.server.audit import audit_page
from swath.server.database.database import Database
from swath.server.database.open import open_database
from swath.server.identity import Identity
from swath.server.oidc.oidc_sign_in import OidcSignIn
from swath.server.oidc.provider import Provider
from swath.server.projects import Projects
from swath.server.rate_limit import Rate
from swath.server.refusals import Conflict, Forbidden, TooMany, Unauthorized
from swath.server.sessions import Sessions
from swath.server.users import Users
from tests.server.oidc.conftest import BACK
from tests.server.oidc.identity_provider import IdentityProvider


class Door:
    """A server's users, and browsers that sign in with the provider."""

    def __init__(self, database: Database, remote: IdentityProvider, provider_of: Callable[..., Provider]) -> None:
        self.database, self.remote, self._provider_of = database, remote, provider_of
        self.users, self.sessions, self.projects = Users(database), Sessions(database), Projects(database)
        self.root = Identity("user", "1", "root", "admin")
        for project in ("lakes", "seas"):
            self.projects.put(project, {"folder": f"/{project}"}, who="test")

    def of(self, **fields: Any) -> OidcSignIn:
        return OidcSignIn(self._provider_of(**fields), self.database, self.sessions)

    def __call__(self, oidc: OidcSignIn, **claims: Any) -> Identity:
        """Who has a session after a sign-in."""
        address, word = oidc.begin(BACK)
        return self.sessions.find(oidc.finish(word, came_back(self.remote.sign_in(address, **claims)), BACK))


def came_back(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


@pytest.fixture
def door(tmp_path: Path, remote: IdentityProvider, provider_of: Callable[..., Provider]) -> Iterator[Door]:
    database = open_database(str(tmp_path / "server.sqlite"))
    yield Door(database, remote, provider_of)
    database.close()


@pytest.fixture
def any_door(database: Database, remote: IdentityProvider, provider_of: Callable[..., Provider]) -> Door:
    """With each kind of database, for tests that come to all statements."""
    return Door(database, remote, provider_of)


def test_nobody_is_let_in_whom_no_admin_has_added(any_door: Door) -> None:
    oidc = any_door.of()
    with pytest.raises(Forbidden, match="no user of this server has your e-mail address"):
        any_door(oidc)
    with pytest.raises(Forbidden, match="no verified e-mail address"):
        any_door(oidc, email_verified=False)
    any_door.users.add("ada", who="root", email="Ada@Example.org")
    assert (found := any_door(oidc)).name == "ada"
    assert any_door.sessions.of(found)[0]["by"] == "oidc"
    assert not any_door.sessions.signed_in_by_link(
        found
    )  # such a session may not replace a password without the old one
    actions = [(entry.action, entry.who) for entry in audit_page(any_door.database).entries[:2]]
    assert sorted(actions) == [("connect user", "the identity provider"), ("sign in", "ada")]


def test_who_was_let_in_once_is_known_by_the_subject(door: Door) -> None:
    door.users.add("ada", who="root", email="ada@example.org")
    oidc = door.of()
    door(oidc)
    assert door(oidc, email="new@example.org").name == "ada"
    assert door(oidc, email=None).name == "ada"
    with pytest.raises(Conflict, match="another user of this server has this e-mail address"):
        door(oidc, sub="another person who got the address later")


def test_an_address_of_two_users_is_nobodys(door: Door) -> None:
    for name in ("ada", "eve"):
        door.users.add(name, who="root", email="ada@example.org")
    with pytest.raises(Conflict):
        door(door.of())


def test_people_of_a_domain_are_added_without_any_role(door: Door) -> None:
    oidc = door.of(allow={"domains": ["example.org"]})
    found = door(oidc, preferred_username="ada lovelace@x")
    assert (found.name, found.role, found.roles) == ("adalovelace", "", {})
    assert door(oidc).user == found.user
    for email in ("eve@evil.org", "eve@sub.example.org", "eve@evil.org@example.org"):
        with pytest.raises(Forbidden):
            door(oidc, sub="eve", email=email)
    with pytest.raises(Forbidden, match="no verified"):
        door(oidc, sub="eve", email_verified=False)
    assert [user["name"] for user in door.users.all()] == ["adalovelace"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("admin", "admin-2"), ("Ada", "Ada-2"), ("\u202eeve<b>", "eveb"), ("..", "user"), ("ci", "ci-2"), (7, "new")],
)
def test_a_new_user_gets_nobody_elses_name(door: Door, wanted: Any, name: str) -> None:
    from swath.server.accounts import Accounts

    door.users.add("ada", who="root")
    Accounts(door.database).create("user", "ci", "runner", who="root")
    found = door(door.of(allow={"groups": ["staff"]}), groups=["staff"], preferred_username=wanted, email="new@x.org")
    assert found.name == name


def test_members_of_other_groups_are_let_in_no_more(door: Door) -> None:
    oidc = door.of(allow={"groups": ["staff"]})
    assert door(oidc, groups=["staff"], email=None).name == "user"
    for groups in (["guests"], [], None, {"staff": 1}):
        with pytest.raises(Forbidden, match="other groups"):
            door(oidc, groups=groups)


def test_a_user_who_is_shut_out_stays_out_and_is_not_connected(door: Door) -> None:
    door.users.add("ada", who="root", email="ada@example.org")
    door.users.change("ada", who=door.root, disabled=True)
    with pytest.raises(Forbidden, match="let in no more"):
        door(door.of())
    door.users.change("ada", who=door.root, disabled=False)
    assert door(door.of(), sub="her real subject").name == "ada"


def test_the_file_gives_roles_and_takes_them_away(any_door: Door) -> None:
    oidc = any_door.of(
        allow={"groups": ["team", "students"]},
        admins={"groups": ["heads"], "emails": ["Grace@example.org"]},
        projects={"lakes": {"team": "keeper", "students": "viewer"}, "later": {"team": "runner"}},
    )
    found = any_door(oidc, groups=["students", "team"])
    any_door.users.set_role("seas", found.name, "runner", who="root")  # the file says nothing of seas
    assert any_door(oidc, groups=["team", "heads"]).role == "admin"
    assert any_door.sessions.check(found).roles == {"lakes": "keeper", "seas": "runner"}
    found = any_door(oidc, groups=["students"])
    assert (found.role, found.roles) == ("", {"lakes": "viewer", "seas": "runner"})
    assert any_door(oidc, sub="2", groups=["students"], email="grace@example.org").role == "admin"
    assert any_door(oidc, sub="3", groups=["students"], email="Grace@example.org", email_verified=False).role == ""


def test_the_first_who_comes_is_no_admin(door: Door) -> None:
    assert door(door.of(allow={"domains": ["example.org"]})).role == ""


def test_what_a_browser_did_not_begin_is_not_ended_in_it(door: Door) -> None:
    door.users.add("ada", who="root", email="ada@example.org")
    oidc = door.of()
    (address, word), (_, other) = oidc.begin(BACK), oidc.begin(BACK)
    answer = came_back(door.remote.sign_in(address))
    for wrong in (other, "", "x"):
        with pytest.raises(Unauthorized, match="begun elsewhere"):
            oidc.finish(wrong, answer, BACK)
    for state in ("", "x", "\udcff", answer["state"].upper()):
        with pytest.raises(Unauthorized, match="begun elsewhere"):
            oidc.finish(word, {**answer, "state": state}, BACK)
    with pytest.raises(Unauthorized, match="not believed"):
        oidc.finish(word, {**answer, "iss": "https://evil.example.org"}, BACK)
    assert not door.remote.forms  # nothing of this was asked at the provider
    assert oidc.finish(word, answer, BACK)


def test_what_the_provider_refused_is_told_without_its_words(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    oidc = door.of()
    address, word = oidc.begin(BACK)
    state = came_back(door.remote.sign_in(address))["state"]
    with pytest.raises(Unauthorized, match=r"nobody in \(access_denied\)\n"):
        oidc.finish(word, {"state": state, "error": "access_denied", "error_description": "Call 555"}, BACK)
    with pytest.raises(Unauthorized, match=r"nobody in\n"):
        oidc.finish(word, {"state": state, "error": "Call 555 now"}, BACK)
    with caplog.at_level(logging.WARNING), pytest.raises(Unauthorized) as caught:
        door(oidc, aud="other")
    assert "aud" in caplog.text
    assert "aud" not in f"{caught.value.message}{caught.value.remedy}"


def test_steps_are_limited_for_each_address(door: Door, provider_of: Callable[..., Provider]) -> None:
    oidc = OidcSignIn(provider_of(), door.database, door.sessions, per_address=Rate(1e-6, 2))
    for _ in range(2):
        oidc.allow("192.0.2.1")
    with pytest.raises(TooMany):
        oidc.allow("192.0.2.1")
    oidc.allow("192.0.2.2")
