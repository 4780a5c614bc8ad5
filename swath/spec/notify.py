"""Notifications in a spec: webhooks and other addresses. An address is a secret; only its scheme and host may be shown."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr, field_validator

from swath.spec.spec_model import SpecModel, mistake

WEBHOOK_SCHEMES = ("http", "https")
"""Schemes of plain webhooks; other schemes need the package apprise."""
MASKED_SCHEME = "hidden"
"""Scheme of an address that was written in a spec without `${env:NAME}`, as the journal stores it: it cannot be used."""
_FORM = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f]+")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.:-]*(/[a-z0-9_-]{0,12})*")
"""What of an address may be stored beside its references to the environment."""
_SHORTEST = {"password": 4, "value": 8, "path": 16}
"""Least number of characters of those parts of an address that are masked in texts: shorter ones are common words."""


class Recipient(SpecModel):
    """An address for notifications: a webhook (`https://...`), or one of apprise's (`mailto://...`)."""

    short_schemas = ({"type": "string", "description": "The address, best as ${env:NAME}"},)

    url: SecretStr
    """The address. It is a secret: write `${env:NAME}`. Nothing is sent if it is empty."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _check(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if not text:
            return url
        if not _FORM.fullmatch(text) or (parts := _split(text)) is None:
            raise mistake("expected an address such as https://... or mailto://...")
        if parts.scheme in WEBHOOK_SCHEMES and not parts.hostname:
            raise mistake("this address has no host")
        if parts.scheme not in (*WEBHOOK_SCHEMES, MASKED_SCHEME) and importlib.util.find_spec("apprise") is None:
            raise mistake(f"{parts.scheme}:// needs the package apprise: pip install 'swath[notify]'")
        return url

    @property
    def scheme(self) -> str:
        """Scheme of the address in lower case; empty if there is no address."""
        return self.url.get_secret_value().partition("://")[0].lower()

    @property
    def masked(self) -> str:
        """The address as it may be shown: scheme and host."""
        return _masked(self.url.get_secret_value())


class NotifySettings(SpecModel):
    """Addresses that get a notification at the end of a run."""

    on_success: tuple[Recipient, ...] = ()
    """When the run is done."""
    on_failure: tuple[Recipient, ...] = ()
    """When it failed, timed out, was terminated, or finished with failed items. Not when the user interrupted it."""

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """All recipients with an address."""
        return tuple(each for each in (*self.on_success, *self.on_failure) if each.url.get_secret_value())

    def secrets(self) -> dict[str, str]:
        """Secrets and what is shown instead of them: each address and its secret parts."""
        found: dict[str, str] = {}
        for recipient in self.recipients:
            url = recipient.url.get_secret_value()
            found |= dict.fromkeys([url, *_parts(url)], recipient.masked) if recipient.scheme != MASKED_SCHEME else {}
        return found


def mask_addresses(
    texts: Iterable[str], notifies: Iterable[NotifySettings], secrets: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """(texts with masked addresses, addresses that are in none of the texts): for addresses that are not written `${env:NAME}`.

    secrets: values from the environment, and their references; the texts have the references.
    """
    masked, unfound = list(texts), []
    for recipient in {each.url: each for notify in notifies for each in notify.recipients}.values():
        written = recipient.url.get_secret_value()
        for secret, reference in sorted(secrets.items(), key=lambda each: -len(each[0])):
            written = written.replace(secret, reference)
        bare = re.sub(r"\$\{env:[^{}]*\}", "", written)
        if recipient.scheme == MASKED_SCHEME or (bare != written and (not bare or _PLAIN.fullmatch(bare))):
            continue
        if not any(written in text for text in masked):
            unfound += [recipient.masked] if bare == written else []
        host = recipient.masked.partition("://")[2]
        masked = [text.replace(written, f"{MASKED_SCHEME}://{host}") for text in masked]
    return masked, unfound


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts


def _masked(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in (*WEBHOOK_SCHEMES, MASKED_SCHEME, "mailto", "mailtos"):
        return f"{url.partition('://')[0].lower()}://..."  # of other schemes the host may be a token
    return f"{parts.scheme}://{parts.hostname or '...'}"


def _parts(url: str) -> set[str]:
    """The parts of an address that are secrets, as they are written and unquoted."""
    parts = _split(url)
    if parts is None:
        return set()
    path = parts.path.strip("/")
    whole = f"{parts.path}?{parts.query}" if parts.query else parts.path
    found = {each for each in (whole, path, *path.split("/")) if len(each) >= _SHORTEST["path"]}
    found |= {value for _, value in parse_qsl(parts.query) if len(value) >= _SHORTEST["value"]}
    if parts.password and len(parts.password) >= _SHORTEST["password"]:
        found.add(parts.password)
    if (
        parts.scheme not in (*WEBHOOK_SCHEMES, MASKED_SCHEME, "mailto", "mailtos")
        and parts.netloc
        and len(parts.netloc) >= _SHORTEST["value"]
    ):
        found.add(parts.netloc)
    return found | {unquote(each) for each in found}
