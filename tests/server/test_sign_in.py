"""Signing in: passwords, links that work once, limits, and nothing told about who exists."""

from __future__ import annotations

import json
import time

import pytest

from swath.server.database.database import Database
from swath.server.identity import Identity
from swath.server.projects import Projects
from swath.server.rate_limit import Rate
from swath.server.refusals import NotFound, TooMany, Unauthorized
from swath.server.sessions import Sessions
from swath.server.sign_in import SignIn, network
from swath.server.users import Users

PASSWORD = "correct horse battery"


class People:
    """Users, their sessions, and a clock."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000_000.0
        clock = self.clock
        self.database = database
        self.users = Users(database, clock)
        self.sessions = Sessions(database, clock=clock)
        self.sign_in = SignIn(database, self.sessions, clock)
        self.root = Identity("user", "1", "root", "admin")
        Projects(database, clock).put("lakes", {"folder": "/lakes"}, who="test")
        self.users.add("ada", who="test")

    def clock(self) -> float:
        return self.now


@pytest.fixture
def people(database: Database) -> People:
    return People(database)


def test_a_password_opens_a_session_with_the_persons_roles(people: People) -> None:
    people.users.set_password("ada", PASSWORD, who=people.root)
    people.users.set_role("lakes", "ada", "keeper", who="test")
    found = people.sessions.find(people.sign_in.with_password("ada", PASSWORD))
    assert (found.kind, found.name, found.role, found.roles) == ("user", "ada", "", {"lakes": "keeper"})
    people.users.set_role("lakes", "ada", None, who="test")
    assert people.sessions.check(found).roles == {}
    people.users.change("ada", who=people.root, admin=True)
    assert people.sessions.check(found).role == "admin"


def test_whatever_is_wrong_the_words_are_the_same(people: People) -> None:
    people.users.set_password("ada", PASSWORD, who=people.root)
    people.users.add("bob", who="test")
    people.users.add("eve", who="test")
    people.users.set_password("eve", PASSWORD, who=people.root)
    people.users.change("eve", who=people.root, disabled=True)
    told = set()
    for name, password in (
        ("ada", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("eve", PASSWORD), ("a\0b", PASSWORD), ("", ""),
        ("ada", PASSWORD + "x" * 5000),
    ):  # fmt: skip
        with pytest.raises(Unauthorized) as caught:
            people.sign_in.with_password(name, password)
        told.add((caught.value.message, caught.value.remedy))
    assert len(told) == 1


def test_an_unknown_name_takes_as_long_as_a_wrong_password(people: People) -> None:
    people.users.set_password("ada", PASSWORD, who=people.root)

    def took(name: str) -> float:
        def once() -> float:
            began = time.process_time()
            with pytest.raises(Unauthorized):
                people.sign_in.with_password(name, "wrong")
            return time.process_time() - began

        return min(once() for _ in range(3))

    known, unknown = took("ada"), took("nobody")
    assert known / 2 < unknown < known * 2


def test_a_link_works_once_and_for_a_while(people: People) -> None:
    first = people.sign_in.new_link("ada", who="root")
    link = people.sign_in.new_link("ada", who="root")
    session = people.sessions.find(people.sign_in.with_link(link))
    assert session.name == "ada"
    assert people.sessions.signed_in_by_link(session)
    late = people.sign_in.new_link("ada", who="root", valid_s=60)
    people.now += 61
    for worthless in (first, link, late, "swath_link_x", "", "nonsense"):
        with pytest.raises(Unauthorized, match="used or has expired"):
            people.sign_in.with_link(worthless)
    with pytest.raises(NotFound):
        people.sign_in.new_link("nobody", who="root")


def test_a_disabled_user_has_no_session_and_no_link(people: People) -> None:
    session = people.sign_in.with_link(people.sign_in.new_link("ada", who="root"))
    link = people.sign_in.new_link("ada", who="root")
    people.users.change("ada", who=people.root, disabled=True)
    people.users.change("ada", who=people.root, disabled=False)
    with pytest.raises(Unauthorized):
        people.sessions.find(session)
    with pytest.raises(Unauthorized):
        people.sign_in.with_link(link)


def test_tries_are_limited_for_each_address_and_each_name(database: Database) -> None:
    def limited(per_address: float, per_user: float) -> SignIn:
        return SignIn(database, Sessions(database), per_address=Rate(1e-6, per_address), per_user=Rate(1e-6, per_user))

    one = limited(2, 100)
    one.allow("a", "192.0.2.1")
    one.allow("b", "192.0.2.1")
    with pytest.raises(TooMany, match="too many tries to sign in"):
        one.allow("c", "192.0.2.1")
    one.allow("c", "192.0.2.2")
    other = limited(100, 2)
    other.allow("ada", "192.0.2.1")
    other.allow("Ada", "192.0.2.2")
    with pytest.raises(TooMany):
        other.allow("ada", "192.0.2.3")


def test_an_address_of_ipv6_is_its_network() -> None:
    assert network("2001:db8:1:2:3::1") == network("2001:db8:1:2:ffff::9%eth0") != network("2001:db8:1:3::1")
    assert network("192.0.2.1") != network("192.0.2.2")
    assert network("testclient") == "testclient"


def test_the_database_has_no_password_no_session_and_no_link(people: People) -> None:
    people.users.set_password("ada", PASSWORD, who=people.root)
    link, waiting = people.sign_in.new_link("ada", who="root"), ""
    session = people.sign_in.with_link(link)
    waiting = people.sign_in.new_link("ada", who="root")
    with people.database.reading() as db:
        kept = json.dumps(
            [
                row
                for table in ("users", "sessions", "sign_in_links", "audit")
                for row in db.execute(f"SELECT * FROM {table}")
            ],
            default=str,
        )
    for secret in (PASSWORD, session, link, waiting):
        assert secret not in kept
    assert "$argon2id$v=19$m=65536,t=3,p=1$" in kept
