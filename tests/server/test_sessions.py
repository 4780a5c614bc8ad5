"""Sessions end: idle, at last, when signed out, when the password changes."""

from __future__ import annotations

from swath.server.refusals import Unauthorized
from swath.server.sessions import csrf_word
from tests.server.test_sign_in import PASSWORD, People, people

__all__ = ["people"]
HOUR = 3600.0


def signed_in(people: People) -> str:
    return people.sign_in.with_link(people.sign_in.new_link("ada", who="root"))


def ended(people: People, secret: str) -> bool:
    try:
        people.sessions.find(secret)
    except Unauthorized:
        return True
    return False


def test_a_session_ends_after_12_idle_hours_and_after_30_days(people: People) -> None:
    idle, used = signed_in(people), signed_in(people)
    for _ in range(59):
        people.now += 12 * HOUR
        assert not ended(people, used)
    assert ended(people, idle)
    people.now += 11.9 * HOUR
    assert not ended(people, used)
    people.now += 0.2 * HOUR
    assert ended(people, used)


def test_what_is_over_is_removed_at_the_next_sign_in(people: People) -> None:
    signed_in(people)
    people.now += 13 * HOUR
    signed_in(people)
    with people.database.reading() as db:
        assert db.execute("SELECT count(*) AS n FROM sessions")[0]["n"] == 1


def test_signing_out_ends_one_session_or_all_of_one_person(people: People) -> None:
    people.users.add("bob", who="test")
    one, two, three = signed_in(people), signed_in(people), signed_in(people)
    bobs = people.sign_in.with_link(people.sign_in.new_link("bob", who="root"))
    people.sessions.end(people.sessions.find(one))
    assert (ended(people, one), ended(people, two)) == (True, False)
    people.sessions.end_all(people.sessions.find(two))
    assert (ended(people, two), ended(people, three), ended(people, bobs)) == (True, True, False)


def test_a_changed_password_ends_the_other_sessions(people: People) -> None:
    mine, other = signed_in(people), signed_in(people)
    who = people.sessions.find(mine)
    people.users.set_password("ada", PASSWORD, who=who, fresh=people.sessions.signed_in_by_link(who))
    assert (ended(people, mine), ended(people, other)) == (False, True)


def test_secrets_are_long_and_differ_and_their_csrf_words_too(people: People) -> None:
    one, two = signed_in(people), signed_in(people)
    assert one != two
    assert len(bytes.fromhex(one)) == 32
    assert len({one, two, csrf_word(one), csrf_word(two)}) == 4


def test_a_persons_sessions_are_listed_without_secrets(people: People) -> None:
    secret = signed_in(people)
    people.now += 1
    other = signed_in(people)
    listed = people.sessions.of(people.sessions.find(secret))
    assert [(each["current"], each["by"]) for each in listed] == [(False, "link"), (True, "link")]
    assert secret not in str(listed)
    assert other not in str(listed)
