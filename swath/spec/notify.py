"""Who is told how a run ends: addresses, which are secrets. Only their scheme and host may be shown."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr, field_validator

from swath.spec.spec_model import SpecModel, mistake

WEBHOOK_SCHEMES = ("http", "https")
"""Schemes of plain webhooks; any other is apprise's."""
MASKED_SCHEME = "hidden"
"""Scheme of an address that stood plainly in a spec, as the journal keeps it: nobody can be told by it."""
_FORM = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f]+")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.:-]*(/[a-z0-9_-]{0,12})*")
"""What may stay in a text beside references to the environment."""
_SHORTEST = {"password": 4, "value": 8, "path": 16}
"""Parts of an address that are taken out of every text, from so many characters on: shorter ones are common words."""


class Recipient(SpecModel):
    """One address that is told: a webhook (`https://...`), or anything that apprise knows (`mailto://...`)."""

    short_schemas = ({"type": "string", "description": "Its address, best as ${env:NAME}"},)

    url: SecretStr
    """Its address. It is a secret: write `${env:NAME}`. When it is empty nobody is told."""

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
        """In lower case; empty when there is no address."""
        return self.url.get_secret_value().partition("://")[0].lower()

    @property
    def masked(self) -> str:
        """What may be shown of it: scheme and host."""
        return _shown(self.url.get_secret_value())


class NotifySettings(SpecModel):
    """Who is told how a run ended."""

    on_success: tuple[Recipient, ...] = ()
    """Told when it is done."""
    on_failure: tuple[Recipient, ...] = ()
    """Told when it is not: failed, out of time, terminated, or items were set aside. Not when somebody interrupted it."""

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """All of them that have an address."""
        return tuple(each for each in (*self.on_success, *self.on_failure) if each.url.get_secret_value())

    def secrets(self) -> dict[str, str]:
        """What no text may show, and what is shown instead: each address and its parts."""
        found: dict[str, str] = {}
        for recipient in self.recipients:
            url = recipient.url.get_secret_value()
            found |= dict.fromkeys([url, *_parts(url)], recipient.masked) if recipient.scheme != MASKED_SCHEME else {}
        return found


def mask_addresses(
    texts: Iterable[str], notifies: Iterable[NotifySettings], secrets: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Texts of a spec without the addresses that stand plainly in them, and those (shown) that could not be found in them.

    secrets: what the environment gave, and the references that asked for it; what they give is in no text.
    """
    kept, unfound = list(texts), []
    for recipient in {each.url: each for notify in notifies for each in notify.recipients}.values():
        written = recipient.url.get_secret_value()
        for secret, reference in sorted(secrets.items(), key=lambda each: -len(each[0])):
            written = written.replace(secret, reference)
        bare = re.sub(r"\$\{env:[^{}]*\}", "", written)
        if recipient.scheme == MASKED_SCHEME or (bare != written and (not bare or _PLAIN.fullmatch(bare))):
            continue
        if not any(written in text for text in kept):
            unfound += [recipient.masked] if bare == written else []
        shown = recipient.masked.partition("://")[2]
        kept = [text.replace(written, f"{MASKED_SCHEME}://{shown}") for text in kept]
    return kept, unfound


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts


def _shown(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in (*WEBHOOK_SCHEMES, MASKED_SCHEME, "mailto", "mailtos"):
        return f"{url.partition('://')[0].lower()}://..."  # elsewhere a token may stand in the host's place
    return f"{parts.scheme}://{parts.hostname or '...'}"


def _parts(url: str) -> set[str]:
    """Those parts of an address that are secrets by themselves, as they are written and as they are meant."""
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
