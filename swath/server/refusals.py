"""Errors of requests, with their HTTP status."""

from __future__ import annotations

from swath.errors import SwathError


class Refusal(SwathError):
    """A request that the server does not carry out."""

    exit_code = 2
    status = 400

    def __init__(self, message: str, *, remedy: str = "", status: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status or type(self).status


class NotFound(Refusal):
    """What was asked for is not there, or the one who asks may not know of it."""

    status = 404


class Conflict(Refusal):
    """It does not fit to what has happened meanwhile."""

    status = 409
    exit_code = 6


class Unauthorized(Refusal):
    """The token is missing, unknown, expired or revoked."""

    status = 401
    exit_code = 4


class Forbidden(Refusal):
    """The token's role does not allow it."""

    status = 403
    exit_code = 4


class TooMany(Refusal):
    """Too many requests, or a request that is too large."""

    status = 429
    exit_code = 6
