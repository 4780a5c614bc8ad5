"""An identity provider by OpenID Connect: where it is asked, and what is believed of its answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit

from swath.errors import MissingExtra
from swath.server.oidc.oidc_file import EMAIL, OidcFile
from swath.server.oidc.provider_requests import ProviderRequests, ProviderUnavailable, RequestLimits, host_of
from swath.server.refusals import Unauthorized

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

DISCOVERED_S = 300.0
"""How long the provider's addresses are good for. Its keys are asked for at each sign-in, so that none is old."""
LEEWAY_S = 60
"""Between this clock and the provider's."""
MOST_KEYS, MOST_GROUPS = 100, 1000
KEY_KINDS = ("RSA", "EC", "OKP")
ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Person:
    """Whom an identity provider has signed in."""

    subject: str
    """Never another person's at this issuer, and never changed."""
    email: str
    """In small letters; empty unless the provider has verified it."""
    groups: frozenset[str]
    wanted_name: str
    """What the person is called there. Anybody may choose it: nobody is known by it."""


class BrowserSecret:
    """A random word that a browser keeps while its person is at the provider: what is sent there is derived from it."""

    def __init__(self, word: str = "") -> None:
        self.word = word or secrets.token_urlsafe(32)

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """Of PKCE: 43 characters."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        return _base64(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        return _base64(hmac.digest(self.word.encode(errors="replace"), purpose.encode(), "sha256"))


class Provider:
    """The identity provider of a server."""

    def __init__(
        self,
        settings: OidcFile,
        secret: str | None,
        limits: RequestLimits = RequestLimits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if importlib.util.find_spec("joserfc") is None:
            raise MissingExtra("joserfc", "oidc", "sign-in with an identity provider")
        self.settings = settings
        self._secret = secret
        self._clock = clock
        self._requests = ProviderRequests(frozenset({host_of(settings.issuer), *settings.hosts}), limits)
        self._discovered: tuple[float, dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def sign_in_address(self, secret: BrowserSecret, back: str) -> str:
        """Where a browser goes to sign in. back: where it comes back to. Raises ProviderUnavailable, TooMany."""
        fields = {
            "response_type": "code", "client_id": self.settings.client_id, "redirect_uri": back,
            "scope": " ".join(self.settings.scopes), "state": secret.state, "nonce": secret.nonce,
            "code_challenge": secret.challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        address = str(self._discovery()["authorization_endpoint"])
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(fields)}"

    def person(self, code: str, secret: BrowserSecret, back: str) -> Person:
        """Who has signed in, for the code that a browser came back with.

        Raises Unauthorized for an answer that is not believed, ProviderUnavailable, TooMany.
        """
        discovery = self._discovery()
        fields = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": secret.verifier,
        }  # fmt: skip
        headers = {}
        if self._secret is None or _in_form(discovery):
            fields["client_id"] = self.settings.client_id
            fields |= {"client_secret": self._secret} if self._secret is not None else {}
        else:
            pair = f"{quote_plus(self.settings.client_id)}:{quote_plus(self._secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        token = self._requests.post(discovery["token_endpoint"], fields, headers).get("id_token")
        if not isinstance(token, str):
            raise ProviderUnavailable("the identity provider sent no id_token", remedy="`scopes` needs openid")
        return self._believed(token, self._keys(discovery["jwks_uri"]), secret.nonce)

    def _discovery(self) -> dict[str, Any]:
        """What the provider says of itself, checked."""
        with self._lock:
            kept = self._discovered
        if kept is not None and 0 <= self._clock() - kept[0] < DISCOVERED_S:
            return kept[1]
        found = self._requests.get(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.settings.issuer:
            raise ProviderUnavailable(
                "the identity provider says that it is another issuer", remedy="`issuer` is compared letter by letter"
            )
        for name in ADDRESSES:
            self._requests.check(str(found.get(name, "")))
        with self._lock:
            self._discovered = (self._clock(), found)
        return found

    def _keys(self, address: str) -> KeySet:
        """The provider's public keys; those of kinds that are not known here are left out."""
        from joserfc.errors import JoseError
        from joserfc.jwk import JWKRegistry, KeySet

        listed = self._requests.get(address).get("keys")
        keys = []
        for each in listed[:MOST_KEYS] if isinstance(listed, list) else ():
            if isinstance(each, dict) and each.get("kty") in KEY_KINDS and each.get("use", "sig") == "sig":
                try:
                    keys.append(JWKRegistry.import_key(each))
                except (JoseError, ValueError, TypeError):
                    continue
        if not keys:
            raise ProviderUnavailable("the identity provider has no public key that can be used")
        return KeySet(keys)

    def _believed(self, token: str, keys: KeySet, nonce: str) -> Person:
        """What it says. Raises Unauthorized unless this issuer has signed it for this server and browser, and it is not expired."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jws import JWSRegistry

        registry = JWSRegistry(algorithms=list(self.settings.algorithms), strict_check_header=False)
        registry.max_header_length = 8192  # some providers put certificates there
        client = self.settings.client_id
        checks = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock()), leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer}, aud={"essential": True, "value": client},
            sub={"essential": True}, exp={"essential": True}, iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            claims = jwt.decode(token, keys, algorithms=list(self.settings.algorithms), registry=registry).claims
            checks.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise not_believed(str(error) or type(error).__name__) from error
        audience, party = claims["aud"], claims.get("azp", client)
        if party != client or (isinstance(audience, list) and len(audience) > 1 and "azp" not in claims):
            raise not_believed("the id_token is for another client")
        if not isinstance(claims["nonce"], str) or len(claims["sub"]) > 255:
            raise not_believed("the id_token has a nonce or a subject that is none")
        return _person(claims, self.settings.groups_claim)


def not_believed(why: str) -> Unauthorized:
    """The error for an answer of the provider. why: for the server's log."""
    error = Unauthorized("the identity provider's answer is not believed", remedy="the server's log says why")
    error.add_note(why)
    return error


def _person(claims: dict[str, Any], groups_claim: str) -> Person:
    email, groups, wanted = claims.get("email"), claims.get(groups_claim), claims.get("preferred_username")
    if claims.get("email_verified") is not True or not isinstance(email, str) or not _is_email(email):
        email = ""
    named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Person(
        claims["sub"],
        email.lower(),
        frozenset(each for each in named[:MOST_GROUPS] if isinstance(each, str)),
        (wanted if isinstance(wanted, str) else "") or email,
    )


def _is_email(text: str) -> bool:
    """Only plain letters: others look alike, or become the same when they are made small."""
    return re.fullmatch(EMAIL, text) is not None


def _in_form(discovery: dict[str, Any]) -> bool:
    """Whether the provider takes the client's secret in the form only."""
    methods = discovery.get("token_endpoint_auth_methods_supported")
    return isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
