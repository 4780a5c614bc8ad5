"""Answers that are endless, huge, slow or lead elsewhere."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time

import pytest

from swath.server.oidc.provider_requests import ProviderRequests, ProviderUnavailable, RequestLimits, host_of
from swath.server.refusals import TooMany
from tests.server.oidc.identity_provider import IdentityProvider, Reply, send

Handler = http.server.BaseHTTPRequestHandler


def requests(remote: IdentityProvider, total_s: float = 30.0) -> ProviderRequests:
    return ProviderRequests(frozenset({host_of(remote.issuer)}), RequestLimits(total_s=total_s, most_bytes=20_000))


def chunks(handler: Handler) -> None:
    """A body without an end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def drops(handler: Handler) -> None:
    """A header of which a letter comes now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def slow_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (chunks, "more than 20,000 bytes"),
        (lambda handler: send(handler, b"[" * 20_000), "no JSON object"),
        (lambda handler: send(handler, b'["x"]'), "no JSON object"),
        (lambda handler: send(handler, b"<html>"), "no JSON object"),
        (lambda handler: send(handler, b"\xff\xfe"), "no JSON object"),
        (lambda handler: send(handler, b"{}", 302, Location="/keys"), "status 302"),
        (lambda handler: send(handler, b"{}", 307, Location="http://169.254.169.254/"), "status 307"),
        (lambda handler: send(handler, b"{}", 500), "status 500"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), "does not answer: BadStatusLine"),
        (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000), "does not answer: HTTPExc"),
    ],
)  # fmt: skip
def test_what_is_no_short_json_object_is_refused(remote: IdentityProvider, reply: Reply, why: str) -> None:
    remote.replies["/x"] = reply
    with pytest.raises(ProviderUnavailable, match=why):
        requests(remote).get(f"{remote.issuer}/x")
    assert remote.asked == ["/x"]


@pytest.mark.parametrize("reply", [drops, slow_body, lambda handler: time.sleep(30)])
def test_a_slow_answer_is_cut_when_its_time_is_up(remote: IdentityProvider, reply: Reply) -> None:
    remote.replies["/x"] = reply
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        requests(remote, total_s=0.5).get(f"{remote.issuer}/x")
    assert time.monotonic() - began < 20


def test_only_so_many_wait_at_once(remote: IdentityProvider) -> None:
    limits = RequestLimits(at_once=1, wait_s=0.01)
    asked = ProviderRequests(frozenset({host_of(remote.issuer)}), limits)

    def meanwhile(handler: Handler) -> None:
        with pytest.raises(TooMany):
            asked.get(f"{remote.issuer}/keys")
        send(handler, b'{"found": 1}')

    remote.replies["/x"] = meanwhile
    assert asked.get(f"{remote.issuer}/x") == {"found": 1}
    assert "keys" in asked.get(f"{remote.issuer}/keys")  # the turn was given back


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.org/", "https://evil.example.org/", "https://login.example.org:444/", "https://a@login.example.org/",
        "ftp://login.example.org/", "https://", "https://login.example.org/\r\nX: y", "https://login.example.org:x/",
        "//login.example.org", "https://login.example.org/#x",
    ],
)  # fmt: skip
def test_other_addresses_are_not_asked(address: str) -> None:
    with pytest.raises(ProviderUnavailable):
        ProviderRequests(frozenset({"login.example.org"})).get(address)


def test_a_certificate_that_nobody_has_signed_is_refused() -> None:
    """The other side speaks no TLS at all: nothing is sent in the clear instead."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(10_000))
                with contextlib.suppress(OSError):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        host = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ProviderUnavailable, match="SSL"):
            ProviderRequests(frozenset({host})).post(f"https://{host}/token", {"code": "word"}, {})
        thread.join(30)
    assert heard
    assert b"word" not in heard[0]
