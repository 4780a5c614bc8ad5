"""The policy of range requests: time limits, retries, and how many requests one host gets at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestPolicy:
    """What holds for every request for a range of a remote file."""

    connect_s: float = 10
    """Longest time until a connection is there."""
    stall_s: float = 20
    """Longest time without a byte."""
    request_s: float = 120
    """Longest time for one request, however slowly its bytes arrive."""
    tries: int = 4
    """Requests for one range before the read fails. The engine may then make the whole call again."""
    first_wait_s: float = 0.5
    """Wait before the second request; it doubles with each further one, and is shortened at random by up to half."""
    max_wait_s: float = 60
    """Longest wait. A server whose Retry-After is longer fails the read at once."""
    per_host: int = 8
    """Requests of this process to one host at the same time."""


POLICY = RequestPolicy()
