"""An identity provider on loopback, and the server's side of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swath.server.oidc.oidc_file import OidcFile
from swath.server.oidc.provider import Provider
from swath.server.oidc.provider_requests import RequestLimits
from tests.server.oidc.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider

BACK = "https://swath.example.org/sign-in/oidc/callback"


@pytest.fixture
def remote() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        yield found


@pytest.fixture
def provider_of(remote: IdentityProvider) -> Callable[..., Provider]:
    """Makes the server's side, with fields of the file."""

    def make(**fields: Any) -> Provider:
        limits = RequestLimits(total_s=fields.pop("total_s", 30.0), most_bytes=20_000)
        settings = OidcFile.model_validate({"issuer": remote.issuer, "client_id": CLIENT, **fields})
        return Provider(settings, SECRET, limits)

    return make
