"""Secrets in text: replaced by the reference that they came from, such as `${env:NAME}`, in messages and in errors of other code."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from swath.errors import SwathError, UsageError
from swath.spec.locations import absolute

_SHORTEST_SECRET = 4


def scrub(message: str, secrets: Mapping[str, str] | Iterable[str]) -> str:
    """The message with every secret of at least four characters, in any usual spelling, replaced by its reference."""
    names = secrets if isinstance(secrets, Mapping) else dict.fromkeys(secrets, "${env:...}")
    spellings = {spelling: name for secret, name in names.items() for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        message = message.replace(spelling, spellings[spelling])
    return message


@contextlib.contextmanager
def masked_errors(secrets: Mapping[str, str], what: str) -> Iterator[None]:
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
    path = absolute(secret, Path())
    found = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {path, re.sub(r"^(\.\./)+", "", path), path.lstrip("/")}
    return frozenset(spelling for spelling in found if len(spelling) >= _SHORTEST_SECRET)
