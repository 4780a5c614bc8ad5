"""Users: names that mean one asker, passwords that are set by those who may."""

from __future__ import annotations

import pytest

from swath.server.accounts import Accounts
from swath.server.refusals import Conflict, Forbidden, NotFound, Refusal
from tests.server.test_sign_in import PASSWORD, People, people

__all__ = ["people"]


def test_a_name_is_of_one_user_or_of_one_token(people: People) -> None:
    accounts = Accounts(people.database, people.clock)
    for name in ("ada", "Ada"):
        with pytest.raises(Conflict, match="a user 'ada' already"):
            people.users.add(name, who="root")
    with pytest.raises(Conflict, match="there is a user 'ada'"):
        accounts.create("user", "ada", "runner", who="root")
    accounts.create("user", "ci", "runner", who="root")
    with pytest.raises(Conflict, match="there is a token 'ci'"):
        people.users.add("ci", who="root")
    accounts.revoke("ci", who="root")
    people.users.add("ci", who="root")


def test_users_set_their_own_password_with_the_present_one_and_admins_set_all(people: People) -> None:
    people.users.add("bob", who="root")
    people.users.set_password("ada", PASSWORD, who=people.root)
    ada = people.sessions.find(people.sign_in.with_password("ada", PASSWORD))
    with pytest.raises(Forbidden, match="present password"):
        people.users.set_password("ada", "another password", who=ada)
    with pytest.raises(Forbidden, match="present password"):
        people.users.set_password("ada", "another password", who=ada, old="wrong")
    people.users.set_password("ada", "another password", who=ada, old=PASSWORD)
    people.sign_in.with_password("ada", "another password")
    for name in ("bob", "nobody"):  # an admin would hear that there is no such user; others hear nothing
        with pytest.raises(Forbidden, match="for admins of the server"):
            people.users.set_password(name, PASSWORD, who=ada)
    with pytest.raises(NotFound):
        people.users.set_password("nobody", PASSWORD, who=people.root)


def test_a_password_that_is_easy_to_guess_is_refused(people: People) -> None:
    people.users.add("persephone", who="root")
    for name, password in (
        ("ada", "short"),
        ("ada", "x" * 1001),
        ("ada", "aaaaaaaaaaaa"),
        ("persephone", "Persephone"),
    ):
        with pytest.raises(Refusal):
            people.users.set_password(name, password, who=people.root)


def test_letters_may_be_composed_by_any_keyboard(people: People) -> None:
    people.users.set_password("ada", "pa\u0308sswords are long", who=people.root)
    people.sign_in.with_password("ada", "p\u00e4sswords are long")


def test_nobody_shuts_out_themselves(people: People) -> None:
    people.users.change("ada", who=people.root, admin=True)
    ada = people.sessions.find(people.sign_in.with_link(people.sign_in.new_link("ada", who="root")))
    for change in ({"admin": False}, {"disabled": True}):
        with pytest.raises(Conflict, match="themselves"):
            people.users.change("ada", who=ada, **change)


def test_a_token_of_a_person_may_what_the_person_may(people: People) -> None:
    accounts = Accounts(people.database, people.clock)
    ada = people.sessions.find(people.sign_in.with_link(people.sign_in.new_link("ada", who="root")))
    token = accounts.create_own(ada, "laptop", valid_s=60)
    found = accounts.identify(token)
    assert (found.name, found.role, found.roles, found.user) == ("ada", "", {}, ada.user)
    people.users.set_role("lakes", "ada", "runner", who="root")
    assert accounts.check(found).roles == {"lakes": "runner"}
    assert [each["name"] for each in accounts.tokens(ada.user)] == ["laptop"]
    people.users.change("ada", who=people.root, disabled=True)
    with pytest.raises(Refusal, match="expired or revoked"):
        accounts.identify(token)
    people.users.change("ada", who=people.root, disabled=False)
    people.now += 61
    with pytest.raises(Refusal, match="expired or revoked"):
        accounts.identify(token)


def test_a_person_revokes_own_tokens_only(people: People) -> None:
    accounts = Accounts(people.database, people.clock)
    ada = people.sessions.find(people.sign_in.with_link(people.sign_in.new_link("ada", who="root")))
    accounts.create("user", "ci", "runner", who="root")
    with pytest.raises(NotFound):
        accounts.revoke("ci", who="ada", owner=ada.user)


def test_members_and_roles(people: People) -> None:
    people.users.set_role("lakes", "ada", "viewer", who="root")
    people.users.set_role("lakes", "ada", "runner", who="root")
    assert people.users.members("lakes") == {"ada": "runner"}
    (listed,) = people.users.all()
    assert (listed["roles"], listed["password"], listed["admin"]) == ({"lakes": "runner"}, False, False)
    for project, name in (("seas", "ada"), ("lakes", "nobody")):
        with pytest.raises(NotFound):
            people.users.set_role(project, name, "viewer", who="root")
