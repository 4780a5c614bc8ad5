"""Passwords: Argon2id, a few at a time, and as much work for a user who does not exist."""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swath.errors import MissingExtra
from swath.server.refusals import Refusal, TooMany

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 10, 1000
"""Characters of a password."""
MEMORY_KIB = 64 * 1024
"""Of one computation."""
AT_ONCE = 4
"""Computations: each takes a core and MEMORY_KIB."""
WAIT_S = 10.0
_turns = threading.BoundedSemaphore(AT_ONCE)


def check_password(password: str, name: str) -> None:
    """Raise Refusal for a password that is too short, too long or the user's name."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refusal(f"a password has {SHORTEST} to {LONGEST:,} characters", status=422)
    if password.casefold() == name.casefold() or len(set(password)) < 4:
        raise Refusal("this password is too easy to guess", remedy="several words are a good one", status=422)


def password_hash(password: str) -> str:
    """What is stored of a password."""
    with _turn():
        return _hasher().hash(_normal(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether it is the password. stored: None, for users without one, takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LONGEST:
        password = ""
    with _turn():
        nobodys = _nobodys()  # made in any case: the first sign-in takes as long for all
        try:
            return _hasher().verify(stored or nobodys, _normal(password)) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


@functools.cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError:
        raise MissingExtra("argon2", "server", "passwords") from None
    return PasswordHasher(time_cost=3, memory_cost=MEMORY_KIB, parallelism=1)


@functools.cache
def _nobodys() -> str:
    """The hash of a password that nobody knows."""
    return _hasher().hash(secrets.token_hex(16))


def _normal(password: str) -> str:
    """The same text however a keyboard composes it."""
    return unicodedata.normalize("NFKC", password)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=WAIT_S):
        raise TooMany("too many people sign in at once", remedy="try again in a minute")
    try:
        yield
    finally:
        _turns.release()
