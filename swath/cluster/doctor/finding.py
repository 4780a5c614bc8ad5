"""A finding of `pipe doctor`: one thing that was checked, whether it is in order, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from swath.errors import CredentialsError, InfrastructureError, SwathError


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    state: Literal["ok", "warn", "fail"]
    what: str
    """What was checked, in a word or two."""
    message: str
    """What was found, or what is wrong and what to do."""
    exit_code: int = 0
    """Of a failure: 1 for this machine, 4 for a cloud's credentials, 5 for anything else there."""


def ok(what: str, message: str) -> Finding:
    return Finding("ok", what, message)


def warn(what: str, message: str) -> Finding:
    return Finding("warn", what, message)


def fail(what: str, message: str, exit_code: int = InfrastructureError.exit_code) -> Finding:
    return Finding("fail", what, message, exit_code)


def checked(what: str, check: Callable[[], Finding], *, needed: bool = True) -> Finding:
    """The finding of a check. An error that it raises is a finding too: see `finding_of`."""
    try:
        return check()
    except SwathError as error:
        return finding_of(what, error, needed=needed)


def finding_of(what: str, error: SwathError, *, needed: bool = True) -> Finding:
    """The finding for an error in a check. `needed`: a run makes the same call itself. Where it does not, a missing right to make
    the call is only a warning."""
    if isinstance(error, CredentialsError):
        if not needed:
            return warn(what, f"this account may not look: {error.message}")
        return fail(what, str(error).replace("\n", ";"), error.exit_code)
    return fail(what, str(error).replace("\n", ";"))
