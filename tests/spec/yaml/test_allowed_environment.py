"""Which hosts a document chooses for a value of the environment, and which variables and hosts it may."""

from __future__ import annotations

import pytest

from swath.spec.yaml.allowed_environment import AllowedEnvironment, chosen_hosts
from swath.spec.yaml.document import parse
from swath.spec.yaml.environment import resolve

ENV = {"KEY": "s3cret", "URL": "https://hooks.example.com/x", "HOST": "maps.example.com"}


def refusals(text: str, env: AllowedEnvironment) -> list[str]:
    return [str(mistake) for mistake in resolve(parse(f"text: '{text}'\n", "f.yaml"), env).document.mistakes]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://evil.example/?k=${env:KEY}", "evil.example"),
        ("https://EVIL.example:8443/${env:KEY}", "evil.example"),
        ("https://user:${env:KEY}@evil.example/x", "evil.example"),
        ("https://${env:KEY}.evil.example/", "*.evil.example"),
        ("${env:URL}@evil.example", None),
        ("https://${env:HOST}@evil.example/", "evil.example"),
        ("s3://bucket/${env:KEY}/map", "bucket"),
        ("simplecache::https://evil.example/${env:KEY}", "evil.example"),
        ("https://a.example\\\\@evil.example/${env:KEY}", "evil.example"),
        ("${env:URL}", None),
        ("${env:URL}/more", None),
        ("https://${env:HOST}/x", None),
        ("https://${env:HOST}:8443/x", None),
        ("file:///data/${env:KEY}", None),
        ("plain ${env:KEY} text", None),
    ],
)
def test_a_value_is_a_part_of_no_address_whose_host_the_document_chooses_and_nobody_listed(
    text: str, host: str | None
) -> None:
    env = AllowedEnvironment(ENV, None, "", hosts=("api.example.org",), why_not_there="list it")
    found = refusals(text, env)
    assert len(found) == (host is not None)
    if host is not None:
        assert f"may not be a part of an address of {host}: list it" in found[0]
        assert "s3cret" not in found[0]


def test_listed_hosts_get_values_and_so_do_all_below_a_star() -> None:
    env = AllowedEnvironment(ENV, None, "", hosts=("api.example.org", "*.Example.com", "bucket"))
    for text in ("https://api.example.org/${env:KEY}", "https://a.b.example.COM/${env:KEY}", "s3://bucket/${env:KEY}"):
        assert refusals(text, env) == []
    for text in ("https://api.example.org.evil/${env:KEY}", "https://example.com/${env:KEY}"):
        assert len(refusals(text, env)) == 1
    assert refusals("https://any.example/${env:KEY}", AllowedEnvironment(ENV, None, "")) == []


def test_hosts_are_those_of_each_variable_where_they_are_given_so() -> None:
    env = AllowedEnvironment(ENV, ("KEY", "URL"), "", hosts={"KEY": ["api.example.org"], "URL": []})
    assert refusals("https://api.example.org/${env:KEY}", env) == []
    assert len(refusals("https://api.example.org/?u=${env:URL}", env)) == 1


def test_a_second_limit_never_widens_the_first() -> None:
    nothing = AllowedEnvironment(ENV, (), "not trusted", hosts={})
    assert not nothing.limited_to(("KEY",)).may_read("KEY")
    assert dict(AllowedEnvironment(ENV, None, "").limited_to(("KEY",))) == {"KEY": "s3cret"}
    one = AllowedEnvironment(ENV, ("KEY", "URL"), "", hosts={"KEY": ["a.example"]}).limited_to(("KEY", "HOST"))
    assert one.may_read("KEY")
    assert not one.may_read("HOST")
    assert not one.may_send("KEY", "b.example")


def test_an_address_without_values_of_the_environment_is_nobody_s_business() -> None:
    assert [each.name for each in chosen_hosts([("https://a.example/x", False)])] == ["a.example"]
    assert refusals("https://evil.example/$${env:KEY}", AllowedEnvironment(ENV, (), "", hosts=())) == []
