"""What is believed of an identity provider: honest answers, and hardly any other."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey

from swath.server.oidc.provider import BrowserSecret, Person, Provider
from swath.server.oidc.provider_requests import ProviderUnavailable
from swath.server.refusals import Unauthorized
from tests.server.oidc.conftest import BACK
from tests.server.oidc.identity_provider import IdentityProvider, ec_key, rsa_key

MakeProvider = Callable[..., Provider]


def signed_in(remote: IdentityProvider, provider: Provider, **changes: Any) -> Person:
    """Who has signed in, after a browser went there and came back."""
    secret = BrowserSecret()
    back = remote.sign_in(provider.sign_in_address(secret, BACK), **changes)
    return provider.person(dict(parse_qsl(urlsplit(back).query))["code"], secret, BACK)


def test_a_person_is_known_by_subject_verified_address_and_groups(
    remote: IdentityProvider, provider_of: MakeProvider
) -> None:
    remote.person |= {"email": "Ada@Example.org", "preferred_username": "ada", "groups": ["lake team", 7, "staff"]}
    found = signed_in(remote, provider_of())
    assert found == Person("248289", "ada@example.org", frozenset({"lake team", "staff"}), "ada")
    assert signed_in(remote, provider_of(groups_claim="team"), team="lakes").groups == {"lakes"}
    remote.sign = lambda claims: jwt.encode({"alg": "ES256", "kid": "two"}, claims, ec_key())
    assert signed_in(remote, provider_of(), aud=["swath", "other"], azp="swath").subject == "248289"


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_is_none(
    remote: IdentityProvider, provider_of: MakeProvider, verified: Any
) -> None:
    assert signed_in(remote, provider_of(), email_verified=verified).email == ""


@pytest.mark.parametrize(
    "email", ["\u212aim@example.org", "a@b@example.org", "ada", ["ada@example.org"], "a b@example.org"]
)
def test_an_address_of_other_letters_is_none(remote: IdentityProvider, provider_of: MakeProvider, email: Any) -> None:
    assert signed_in(remote, provider_of(), email=email).email == ""


@dataclass(frozen=True)
class In:
    """A time of a token, in so many seconds from when the test runs."""

    seconds: float


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.org"}, {"iss": None}, {"iss": 7},
        {"aud": "other"}, {"aud": None}, {"aud": ["other"]}, {"aud": ["swath", "other"]}, {"azp": "other"},
        {"exp": In(-120)}, {"exp": None}, {"exp": "9999999999"}, {"exp": math.nan}, {"exp": True},
        {"iat": In(600)}, {"iat": None}, {"nbf": In(600)},
        {"nonce": "of another sign-in"}, {"nonce": None}, {"nonce": ""},
        {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_for_others_or_of_another_time_is_not_believed(
    remote: IdentityProvider, provider_of: MakeProvider, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized, match="not believed"):
        signed_in(remote, provider_of(), **{name: _now(value) for name, value in changes.items()})


def _now(value: Any) -> Any:
    return time.time() + value.seconds if isinstance(value, In) else value


def test_the_nonce_of_an_earlier_sign_in_is_not_believed(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    provider, earlier, secret = provider_of(), BrowserSecret(), BrowserSecret()
    back = remote.sign_in(provider.sign_in_address(secret, BACK), nonce=earlier.nonce)
    with pytest.raises(Unauthorized, match="not believed"):
        provider.person(dict(parse_qsl(urlsplit(back).query))["code"], secret, BACK)


def test_a_list_with_the_nonce_is_no_nonce(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    provider, secret = provider_of(), BrowserSecret()
    back = remote.sign_in(provider.sign_in_address(secret, BACK), nonce=[secret.nonce, "x"])
    with pytest.raises(Unauthorized, match="not believed"):
        provider.person(dict(parse_qsl(urlsplit(back).query))["code"], secret, BACK)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def unsigned(claims: dict[str, Any], alg: str = "none") -> str:
    return f"{part({'alg': alg, 'kid': 'one'})}.{part(claims)}."


def with_public_key_as_secret(claims: dict[str, Any]) -> str:
    secret = OctKey.import_key(rsa_key().as_pem(private=False).decode().replace("-----", "="))
    return jwt.encode({"alg": "HS256", "kid": "one"}, claims, secret)


def with_the_key_in_its_header(claims: dict[str, Any]) -> str:
    own = rsa_key("own")
    header = {"alg": "RS256", "kid": "own", "jwk": own.as_dict(private=False)}
    return jws.serialize_compact(header, json.dumps(claims), own, ["RS256"])


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        lambda claims: unsigned(claims, "None"),
        lambda claims: unsigned(claims, "RS256"),
        with_public_key_as_secret,
        with_the_key_in_its_header,
        lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, rsa_key("own")),
        lambda claims: jwt.encode({"alg": "RS512", "kid": "one"}, claims, rsa_key(), ["RS512"]),  # not one of `algorithms`
        lambda claims: jwt.encode({"alg": "RS256", "kid": "two"}, claims, rsa_key()),  # the key of another algorithm
        lambda claims: jwt.encode({"alg": "RS256"}, claims, rsa_key()),  # two keys, and it says not which
        lambda claims: jwt.encode({"alg": "RS256", "kid": "one"}, claims, rsa_key())[:-9] + "AAAAAAAAA",
        lambda claims: f"{part({'alg': 'RS256', 'kid': 'one', 'crit': ['x'], 'x': 1})}.{part(claims)}.AAAA",
        lambda claims: "a.b.c",
        lambda claims: "",
        lambda claims: jws.serialize_compact({"alg": "RS256", "kid": "one"}, b"[" * 9000, rsa_key(), ["RS256"]),
        lambda claims: jws.serialize_compact({"alg": "RS256", "kid": "one"}, b"[1]", rsa_key(), ["RS256"]),
    ],
)  # fmt: skip
def test_a_token_that_this_issuer_did_not_sign_is_not_believed(
    remote: IdentityProvider, provider_of: MakeProvider, sign: Callable[[dict[str, Any]], str]
) -> None:
    remote.sign = sign
    with pytest.raises(Unauthorized, match="not believed"):
        signed_in(remote, provider_of())


def test_a_shared_secret_among_the_keys_is_none(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    remote.keys = [shared.as_dict(private=True), {"kty": "RSA", "n": "!", "e": 3}, {"kty": "AKP"}, "x", *remote.keys]
    assert signed_in(remote, provider_of()).subject == "248289"
    remote.sign = lambda claims: jwt.encode({"alg": "HS256", "kid": "shared"}, claims, shared)
    with pytest.raises(Unauthorized, match="not believed"):
        signed_in(remote, provider_of())


def test_a_code_is_worthless_without_its_browsers_word(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    provider = provider_of()
    back = remote.sign_in(provider.sign_in_address(BrowserSecret(), BACK))
    with pytest.raises(ProviderUnavailable, match="status 400"):
        provider.person(dict(parse_qsl(urlsplit(back).query))["code"], BrowserSecret(), BACK)


def test_new_keys_of_the_provider_are_taken_and_old_ones_are_not(
    remote: IdentityProvider, provider_of: MakeProvider
) -> None:
    provider = provider_of()
    signed_in(remote, provider)
    remote.keys = [rsa_key("next").as_dict(private=False)]
    with pytest.raises(Unauthorized):
        signed_in(remote, provider)
    remote.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "next"}, claims, rsa_key("next"))
    assert signed_in(remote, provider).subject == "248289"


def test_the_clients_secret_goes_as_the_provider_takes_it(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    signed_in(remote, provider_of())
    assert "client_secret" not in remote.forms[-1]
    remote.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    signed_in(remote, provider_of())
    assert remote.forms[-1]["client_secret"] == "s3cret & more"


@pytest.mark.parametrize(
    ("discovery", "why"),
    [
        ({"issuer": "https://evil.example.org"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"token_endpoint": "https://evil.example.org/token"}, "names an address at evil.example.org"),
        ({"jwks_uri": "http://169.254.169.254/keys"}, "not safe"),
        ({"jwks_uri": "file:///etc/passwd"}, "not safe"),
        ({"authorization_endpoint": "https://evil.example.org/"}, "names an address at evil.example.org"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "not safe"),
        ({"token_endpoint": ["x"]}, "not safe"),
        ({"token_endpoint": None}, "not safe"),
    ],
)
def test_a_provider_that_names_addresses_elsewhere_is_not_asked(
    remote: IdentityProvider, provider_of: MakeProvider, discovery: dict[str, Any], why: str
) -> None:
    remote.discovery = discovery
    with pytest.raises(ProviderUnavailable, match=why):
        provider_of().sign_in_address(BrowserSecret(), BACK)
    assert remote.asked == ["/.well-known/openid-configuration"]


def test_an_address_of_the_provider_with_a_query_keeps_it(remote: IdentityProvider, provider_of: MakeProvider) -> None:
    remote.discovery = {"authorization_endpoint": f"{remote.issuer}/authorize?policy=lab"}
    asked = dict(parse_qsl(urlsplit(provider_of().sign_in_address(BrowserSecret(), BACK)).query))
    assert (asked["policy"], asked["redirect_uri"]) == ("lab", BACK)
