"""Requests to an object store: repeated after errors that may pass, and an error with exit code 4 when it is not allowed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from swath.errors import CredentialsError
from swath.storage.address import redacted

Answer = TypeVar("Answer")

_DENIED_CODES = frozenset(
    {
        "401", "403", "AccessDenied", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken",
        "RequestExpired", "SignatureDoesNotMatch", "TokenRefreshRequired",
    }
)  # fmt: skip
"""Of errors of S3 and Google Cloud Storage."""
_DENIED_CLASSES = frozenset(
    {
        "CredentialRetrievalError", "DefaultCredentialsError", "NoCredentialsError", "PartialCredentialsError", "RefreshError",
        "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError",
    }
)  # fmt: skip
"""Of botocore and google.auth, which are imported only where they are used."""
_HTML = (b"<!doctype html", b"<html")


class UnexpectedContent(OSError):
    """A store answered, but with other bytes than were written: cut, changed, or a page of a proxy."""


class UnexpectedAnswer(OSError):
    """Something answered that is no answer of the store, such as a page of a proxy."""


HTML_ANSWER = "an HTML page came instead of an answer, such as a proxy or a sign-in page sends"


@dataclass(frozen=True)
class Attempts:
    """How often a request is sent."""

    requests: int = 6
    """Object stores refuse now and then, for a second or two."""
    content: int = 3
    """When the content is not what was written: a connection may have cut it, but the object itself may be damaged."""
    first_pause_s: float = 0.1
    """Before the second attempt; it doubles with each, with jitter."""

    def answer(self, request: Callable[[], Answer], url: str) -> Answer:
        """The answer to a request about `url`.

        Raises FileNotFoundError when there is no such object, CredentialsError when it is not allowed, and the last attempt's
        error, which may be of any class of the store's client, when all failed.
        """
        number = 0
        while True:
            number += 1
            try:
                return request()
            except FileNotFoundError:
                raise
            except Exception as error:
                if is_denied(error):
                    raise CredentialsError(
                        f"{redacted(url)}: not allowed: {type(error).__name__}: {error}",
                        remedy="renew the credentials or check the rights of the account; `pipe resume` goes on with the run",
                    ) from error
                if number >= (self.content if isinstance(error, UnexpectedContent) else self.requests):
                    if _is_about_html(error):
                        raise UnexpectedAnswer(HTML_ANSWER) from error
                    raise
            time.sleep(self.first_pause_s * 2 ** (number - 1) * random.uniform(0.5, 1.5))


def is_denied(error: BaseException) -> bool:
    """Whether a store's client failed because credentials are missing, expired or without the right."""
    if isinstance(error, PermissionError) or type(error).__name__ in _DENIED_CLASSES:
        return True
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs's error for 403
        return True
    response = getattr(error, "response", None)
    # An answer to HEAD has no body, so that S3 cannot say that a token has expired.
    if getattr(error, "operation_name", "").startswith("Head") and "(400)" in str(error):
        return True
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "code", None)
    if str(code) in _DENIED_CODES:
        return True
    return error.__cause__ is not None and is_denied(error.__cause__)


def is_checksum_error(error: BaseException) -> bool:
    """Whether a store's client found that the bytes do not have the checksum that the store tells."""
    return type(error).__name__ in ("ChecksumError", "FlexibleChecksumError")


def _is_about_html(error: BaseException | None) -> bool:
    """Whether a store's client could not read an answer because it is an HTML page."""
    if error is None:
        return False
    if isinstance(error, json.JSONDecodeError):
        return is_html(str(error.doc)[:300].encode())
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}) if isinstance(response, dict) else {}
    return "html" in told.get("content-type", "") or _is_about_html(error.__cause__)


def is_html(data: bytes) -> bool:
    """Whether the bytes begin like an HTML page, such as the sign-in page of a proxy."""
    return data[:256].lstrip().lower().startswith(_HTML)
