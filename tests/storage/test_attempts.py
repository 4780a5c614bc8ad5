"""Requests to a store that fails in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from swath.errors import CredentialsError
from swath.storage.attempts import Attempts, UnexpectedContent, is_denied, is_html

QUICK = Attempts(first_pause_s=0.0)


class ChecksumError(Exception):
    """As of gcsfs: no OSError."""


class RefreshError(Exception):
    """As of google.auth."""


class ClientError(Exception):
    """As of botocore."""

    def __init__(self, code: str) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}}


class HttpError(Exception):
    """As of gcsfs."""

    def __init__(self, code: int) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [OSError("503"), ChecksumError("md5"), ClientError("SlowDown"), HttpError(502)])
def test_errors_of_any_class_are_tried_again(error: Exception) -> None:
    answers: Iterator[Exception | str] = iter([error, error, "found"])

    def request() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert QUICK.answer(request, "s3://bucket/key") == "found"


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("The provided token has expired."),
        ClientError("ExpiredToken"),
        ClientError("InvalidToken"),
        HttpError(401),
        HttpError(403),
        RefreshError("expired"),
        _caused(OSError(22, "The provided token is malformed"), ClientError("InvalidToken")),
    ],
)
def test_what_is_not_allowed_is_asked_once_and_has_exit_code_4(error: Exception) -> None:
    asked = []

    def request() -> None:
        asked.append(1)
        raise error

    assert is_denied(error)
    with pytest.raises(CredentialsError, match=r"^s3://bucket/key: not allowed: ") as caught:
        QUICK.answer(request, "s3://bucket/key?signature=secret")
    assert caught.value.exit_code == 4
    assert "renew the credentials" in caught.value.remedy
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("error", "requests"),
    [(OSError("503"), 6), (ChecksumError("md5"), 6), (UnexpectedContent("cut"), 3), (FileNotFoundError("key"), 1)],
)
def test_the_last_error_is_raised_as_it_is(error: Exception, requests: int) -> None:
    asked = []

    def request() -> None:
        asked.append(1)
        raise error

    with pytest.raises(type(error)) as caught:
        QUICK.answer(request, "s3://bucket/key")
    assert caught.value is error
    assert len(asked) == requests


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"\n<!DOCTYPE html><p>Sign in", True), (b"<HTML>", True), (b"\x80\x05K\x01.", False), (b"", False)],
)
def test_a_page_of_a_proxy_is_recognized(data: bytes, found: bool) -> None:
    assert is_html(data) is found


def test_waits_double_and_there_is_none_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("swath.storage.attempts.time", SimpleNamespace(sleep=waits.append))

    def request() -> None:
        raise OSError("503")

    with pytest.raises(OSError, match="503"):
        Attempts(first_pause_s=1.0).answer(request, "s3://bucket/key")
    assert len(waits) == Attempts().requests - 1
    for number, wait in enumerate(waits):
        assert 0.5 <= wait / 2**number <= 1.5
