"""The only connections that a server makes: to the identity provider of its file, with limits of time and size.

One request, one connection: no redirect is followed, no proxy of the environment is used, nothing is asked twice. A timer shuts the
connection down when the time is up, whatever the other side does meanwhile: urllib3's time limits are for single reads.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from swath.errors import InfrastructureError
from swath.server.oidc.oidc_file import safe_address
from swath.server.refusals import Refusal, TooMany

_PORTS = {"http": 80, "https": 443}


class ProviderUnavailable(Refusal):
    """The identity provider does not answer as it should."""

    status = 502
    exit_code = InfrastructureError.exit_code


@dataclass(frozen=True)
class RequestLimits:
    """Of requests to the identity provider."""

    total_s: float = 10.0
    """From the connection to the last byte."""
    most_bytes: int = 256 * 1024
    """Of an answer."""
    at_once: int = 4
    wait_s: float = 10.0
    """For one's turn."""


def host_of(address: str) -> str:
    """Name and port of an address, the port only where it is not the scheme's."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


class ProviderRequests:
    """Requests for JSON, to some hosts only."""

    def __init__(self, hosts: frozenset[str], limits: RequestLimits = RequestLimits()) -> None:
        self._hosts = hosts
        self._limits = limits
        self._turns = threading.BoundedSemaphore(limits.at_once)

    def check(self, address: str) -> str:
        """The address, if it may be asked. Raises ProviderUnavailable."""
        try:
            safe = safe_address(address)
        except ValueError as error:
            raise ProviderUnavailable(f"the identity provider names an address that is not safe: {error}") from None
        if host_of(safe) not in self._hosts:
            raise ProviderUnavailable(
                f"the identity provider names an address at {host_of(safe)}",
                remedy="add it to `hosts` if that is right",
            )
        return safe

    def get(self, address: str) -> dict[str, Any]:
        """A JSON object. Raises ProviderUnavailable, TooMany."""
        return self._json("GET", address, None, {})

    def post(self, address: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object that answers a form. Raises ProviderUnavailable, TooMany."""
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return self._json("POST", address, urlencode(fields).encode(), headers)

    def _json(self, method: str, address: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
        self.check(address)
        if not self._turns.acquire(timeout=self._limits.wait_s):
            raise TooMany("too many people sign in at once", remedy="try again in a minute")
        try:
            status, text = self._ask(method, address, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProviderUnavailable(
                f"{host_of(address)} does not answer: {type(error).__name__}", remedy="try again later"
            ) from error
        finally:
            self._turns.release()
        if len(text) > self._limits.most_bytes:
            raise ProviderUnavailable(f"{host_of(address)} answers with more than {self._limits.most_bytes:,} bytes")
        if status != 200:
            raise ProviderUnavailable(f"{host_of(address)} answers with status {status}")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ProviderUnavailable(f"{host_of(address)} answers with no JSON object")
        return found

    def _ask(self, method: str, address: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with self._connected(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]) as connection:
            connection.request(
                method, path, body, {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
            )
            reply = connection.getresponse()
            return reply.status, reply.read(self._limits.most_bytes + 1)

    @contextlib.contextmanager
    def _connected(self, scheme: str, host: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """A connection that is shut down when its time is up."""
        total_s = self._limits.total_s
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((host, port), timeout=total_s))
            watched = stack.enter_context(plain.dup())  # TLS takes the other one
            timer = threading.Timer(total_s, _shut_down, [watched])
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
            if scheme == "http":
                connection, connection.sock = http.client.HTTPConnection(host, port), plain
            else:
                context = ssl.create_default_context()
                connection = http.client.HTTPSConnection(host, port, context=context)
                connection.sock = stack.enter_context(context.wrap_socket(plain, server_hostname=host))
            yield connection


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)
