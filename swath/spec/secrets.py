"""Masking of secrets: in messages, and in errors of other code, they are replaced by their reference, such as `${env:NAME}`."""

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
    """The message with secrets replaced by their references: those of at least four characters, also quoted or escaped."""
    names = secrets if isinstance(secrets, Mapping) else dict.fromkeys(secrets, "${env:...}")
    spellings = {spelling: name for secret, name in names.items() for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        message = message.replace(spelling, spellings[spelling])
    return message


@contextlib.contextmanager
def masked_errors(secrets: Mapping[str, str], what: str) -> Iterator[None]:
    """Inside, an exception whose text contains a secret becomes a UsageError with a masked text. what: the code that is called.

    The UsageError has no cause, because the secret may be in the traceback and in each cause.
    """
    try:
        yield
    except Exception as error:
        full = "".join(traceback.format_exception(error))
        if scrub(full, secrets) == full:
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
    """The secret as it is, as Python, JSON and URLs quote it, and as a normalised path."""
    path = absolute(secret, Path())
    found = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {path, re.sub(r"^(\.\./)+", "", path), path.lstrip("/")}
    return frozenset(spelling for spelling in found if len(spelling) >= _SHORTEST_SECRET)
