"""Webhooks are posted to real servers on loopback."""

from __future__ import annotations

import socket

import pytest

from swath.reporting.webhook import post
from tests.receivers import web

SECRET = "s3cretT0kenOfTheHook"


def send(url: str, attempt_s: float = 10.0) -> str:
    return post(url, b'{"text": "done"}', attempt_s=attempt_s, pause_s=0.01)


@pytest.mark.parametrize(
    ("statuses", "attempts", "said"),
    [
        ([200], 1, ""),
        ([500, 200], 2, ""),
        ([429, 204], 2, ""),
        ([503, 503], 2, "was answered with 503"),
        ([404, 200], 1, "was answered with 404"),
        ([302, 200], 1, "was answered with 302"),
    ],
)
def test_what_may_succeed_later_is_tried_twice_and_no_redirect_is_followed(
    statuses: list[int], attempts: int, said: str
) -> None:
    with web(lambda count: statuses[count - 1]) as server:
        assert send(f"{server.url}/x") == said
    assert server.bodies == [b'{"text": "done"}'] * attempts
    assert server.paths == ["/x"] * attempts


def test_user_and_password_go_into_a_header_and_not_into_the_address() -> None:
    with web() as server:
        assert send(f"http://me:s%C3%A9cret@127.0.0.1:{server.port}/x?a=1#part") == ""
    assert server.paths == ["/x?a=1"]
    assert server.headers[0]["Authorization"] == "Basic bWU6c8OpY3JldA=="
    assert server.headers[0]["Content-Type"] == "application/json; charset=utf-8"


def test_a_server_that_is_silent_is_left_after_two_attempts() -> None:
    with web(delay_s=60) as server:
        assert send(f"{server.url}/x", attempt_s=0.2) == "was not answered within 0.2 s"
    assert len(server.bodies) == 2


def test_the_system_s_words_for_a_connection_that_failed_are_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/{SECRET}") == "failed: Connection refused"


@pytest.mark.parametrize("url", [f"http://127.0.0.1:1/{SECRET}", f"http://127.0.0.1:99999/{SECRET}"])
def test_a_failure_is_described_without_the_address(url: str) -> None:
    described = send(url)
    assert described.startswith("failed")
    assert SECRET not in described


def test_the_proxy_of_the_environment_is_used_but_for_its_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as proxy, web() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert send("http://hooks.example.org/x") == ""
        assert send(f"{server.url}/y") == ""
    assert proxy.paths == ["http://hooks.example.org/x"]
    assert server.paths == ["/y"]
