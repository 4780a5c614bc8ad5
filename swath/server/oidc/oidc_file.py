"""The file of `pipe server --oidc FILE`: which identity provider people sign in with, and who of its people may."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from swath.errors import SpecError, UsageError
from swath.protocol.messages import MemberRole, Name
from swath.spec.fields.paths import ValidationContext
from swath.spec.spec_model import SpecModel
from swath.spec.validation.validate import validate
from swath.spec.yaml.document import parse, read

SECRET = "SWATH_OIDC_SECRET"
"""Environment variable with the client's secret."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Signatures with a key pair; one with a shared secret is never believed."""


def safe_address(address: str) -> str:
    """The address, if it is https://, or http:// on loopback, and has no user and no fragment. Raises ValueError."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host or not address.isascii() or not address.isprintable() or " " in address:
        raise ValueError("this is no address")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ValueError("an address of an identity provider begins with https://")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("an address of an identity provider has no user, no password and no fragment")
    return address


def _issuer(address: str) -> str:
    if "?" in safe_address(address):
        raise ValueError("an issuer has no query")
    return address


Word = Annotated[str, Field(min_length=1, max_length=200)]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?$")]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:[0-9]{1,5})?$")]
EMAIL = r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}"
"""Form of e-mail addresses that are believed."""
Email = Annotated[str, Field(pattern=f"^{EMAIL}$")]


class AllowedPeople(SpecModel):
    """Who may sign in without being added by an admin first, and nobody else may at all. Both have to fit where both are given."""

    domains: tuple[Domain, ...] = ()
    """Of e-mail addresses, in small letters."""
    groups: tuple[Word, ...] = ()


class AdminPeople(SpecModel):
    """Who is admin of the server."""

    emails: tuple[Email, ...] = ()
    groups: tuple[Word, ...] = ()


class OidcFile(SpecModel):
    """The fields of the file."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    """As the provider writes it in its tokens, such as https://login.example.org/realms/lab."""
    client_id: Word
    client_secret_file: Word | None = None
    """A file with the client's secret; $SWATH_OIDC_SECRET when not given; a client without a secret when there is neither."""
    name: Annotated[str, Field(min_length=1, max_length=60)] = "your organisation"
    """Of the provider, on the button."""
    hosts: tuple[Host, ...] = ()
    """Other hosts than the issuer's at which the provider has addresses."""
    scopes: tuple[Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,100}$")], ...] = ("openid", "email", "profile")
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)
    """Of signatures that are believed."""
    groups_claim: Word = "groups"
    """Where the id_token has the groups."""
    allow: AllowedPeople = AllowedPeople()
    admins: AdminPeople = AdminPeople()
    projects: dict[Name, dict[Word, MemberRole]] = Field(default_factory=dict)
    """Roles of groups in projects. In these projects people who sign in this way have these roles and no others."""


def read_oidc_file(file: Path) -> OidcFile:
    """The file. Raises SpecError with every mistake, UsageError when it cannot be read."""
    document = parse(read(str(file)), str(file))
    found = validate(OidcFile, document, ValidationContext(file.absolute().parent))
    if found.value is None:
        raise SpecError(list(found.mistakes))
    return found.value


def client_secret(settings: OidcFile, folder: Path, env: Mapping[str, str] = os.environ) -> str | None:
    """The client's secret; None without one. folder: where a relative path begins. Raises UsageError."""
    if settings.client_secret_file is None:
        return env.get(SECRET) or None
    file = folder / settings.client_secret_file
    try:
        with file.open(encoding="utf-8") as opened:
            secret = opened.read(10_000).strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{file}: the client's secret cannot be read", remedy="check `client_secret_file`") from error
    if not secret or not secret.isprintable():
        raise UsageError(f"{file}: there is no secret in it", remedy="one line with the client's secret")
    return secret
