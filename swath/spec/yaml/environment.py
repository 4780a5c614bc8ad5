"""`${env:NAME}` in a document's text: replaced by the environment's value, which no message may show."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as Root
from typing import Any
from urllib.parse import quote, quote_plus

from swath.errors import SwathError, UsageError
from swath.spec.fields.paths import absolute
from swath.spec.yaml.document import Document, Path

_REFERENCE = re.compile(r"\$\$\{env:|\$\{env:([^{}]*)\}|\$\{env:")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with its references replaced."""

    document: Document
    """Its data holds the values; its text still holds the references."""
    origins: Mapping[Path, str]
    """For every value that has a reference: the value as it was written."""
    secrets: Mapping[str, str]
    """What the environment gave, and the reference that asked for it."""

    def origin(self, path: Path) -> str:
        """As it was written, when the value at this path has a reference; else empty."""
        return self.origins.get(path, "")

    def scrub(self, message: str) -> str:
        """The message without anything that the environment gave."""
        return scrub(message, self.secrets)


def resolve(document: Document, env: Mapping[str, str] | None = None) -> ResolvedDocument:
    """Replace `${env:NAME}` in every text value (never in keys). `$${env:` stands for the text `${env:`.

    A variable that is not set, or a reference that is not well-formed, is a mistake of the document.
    """
    values = os.environ if env is None else env
    origins: dict[Path, str] = {}
    secrets: dict[str, str] = {}
    mistakes = list(document.mistakes)
    broken = set(document.broken)

    def walk(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        return text(value, path) if isinstance(value, str) and "${env:" in value else value

    def text(value: str, path: Path) -> str:
        def one(match: re.Match[str]) -> str:
            if match[0] == "$${env:":
                return "${env:"
            origins[path] = value
            name = match[1]
            if name is None or not _NAME.fullmatch(name):
                return blame(path, "a reference to the environment is written ${env:NAME}")
            if name not in values:
                return blame(path, f"the environment variable {name} is not set")
            if values[name]:
                secrets[values[name]] = match[0]
            return values[name]

        return _REFERENCE.sub(one, value)

    def blame(path: Path, message: str) -> str:
        mistakes.append(document.marks[path].mistake(path, message))
        broken.add(path)
        return ""

    data = walk(document.data, ())
    resolved = replace(document, data=data, mistakes=tuple(mistakes), broken=frozenset(broken))
    return ResolvedDocument(resolved, origins, secrets)


def scrub(message: str, secrets: Mapping[str, str] | Iterable[str]) -> str:
    """The message with every secret of at least four characters, in any usual spelling, replaced by its reference."""
    names = secrets if isinstance(secrets, Mapping) else dict.fromkeys(secrets, "${env:...}")
    spellings = {spelling: name for secret, name in names.items() for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        message = message.replace(spelling, spellings[spelling])
    return message


@contextlib.contextmanager
def untold(secrets: Mapping[str, str], what: str) -> Iterator[None]:
    """Inside, an error of somebody else's code (`what`) that would show a secret becomes one that says the same without it.

    Raises UsageError in its place; the traceback, which can have the secret in each of its causes, is left out.
    """
    try:
        yield
    except Exception as error:
        whole = "".join(traceback.format_exception(error))
        if scrub(whole, secrets) == whole:
            raise
        remedy = ""
        if isinstance(error, SwathError):
            text, remedy = error.message, error.remedy
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{what}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        raise UsageError(scrub(text, secrets), remedy=scrub(remedy, secrets)) from None


@functools.lru_cache(maxsize=1000)
def _spellings(secret: str) -> frozenset[str]:
    """The secret itself, as Python, JSON and addresses write it, and as a path comes out of normalisation."""
    path = absolute(secret, Root())
    found = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {path, re.sub(r"^(\.\./)+", "", path), path.lstrip("/")}
    return frozenset(spelling for spelling in found if len(spelling) >= _SHORTEST_SECRET)
