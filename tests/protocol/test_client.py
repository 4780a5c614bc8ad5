"""The client against servers that are away, busy, strange or hostile."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from swath.errors import CredentialsError, UsageError
from swath.protocol.client import Client, ClientLimits, ServerUnavailable, Superseded

QUICK = ClientLimits(connect_s=1, read_s=1, tries=3, pause_s=0.01)
Answers = Callable[[list[tuple[int, bytes]]], str]


@pytest.fixture
def answering() -> Iterator[Answers]:
    """Start a server that gives these answers, one after the other; the last one for ever."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: list[tuple[int, bytes]]) -> str:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def problem(status: int, detail: str, exit_code: int = 1) -> tuple[int, bytes]:
    return status, json.dumps(
        {"title": "", "status": status, "detail": detail, "exit_code": exit_code, "remedy": "do this"}
    ).encode()


ME = (200, b'{"kind": "user", "name": "ada", "role": "runner", "roles": {}, "person": false}')


def test_a_server_that_is_busy_is_asked_again(answering: Answers) -> None:
    url = answering([problem(503, "busy"), problem(429, "too many"), ME])
    assert Client(url, "token", QUICK).me().name == "ada"


def test_a_server_that_stays_away_is_told(answering: Answers) -> None:
    with pytest.raises(ServerUnavailable, match=r"cannot answer now \(HTTP 503\): busy"):
        Client(answering([problem(503, "busy")]), "token", QUICK).me()
    with pytest.raises(ServerUnavailable, match="does not answer") as caught:
        Client("http://127.0.0.1:1", "token", QUICK).me()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(401, "expired", 4), CredentialsError),
        (problem(403, "not yours", 4), CredentialsError),
        (problem(409, "a newer attempt", 6), Superseded),
        (problem(422, "spec:3:1: wrong", 2), UsageError),
        (problem(500, "failed"), ServerUnavailable),
    ],
)
def test_errors_keep_their_words_and_exit_code(
    answering: Answers, answer: tuple[int, bytes], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        Client(answering([answer]), "token", QUICK).me()
    assert json.loads(answer[1])["detail"] in str(caught.value)
    assert "do this" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (401, b"<html>"),
        (404, b"<html>"),
        (409, b"{}"),
        (302, b""),
        (500, b'{"detail": 1, "exit_code": "x"}'),
        (500, b"[]"),
    ],
)
def test_what_is_no_answer_of_a_swath_server_is_not_believed(answering: Answers, answer: tuple[int, bytes]) -> None:
    with pytest.raises(ServerUnavailable):
        Client(answering([answer]), "token", QUICK).me()


def test_a_token_is_not_sent_in_the_clear() -> None:
    for url in ("http://swath.example.org", "ftp://localhost", "localhost:8270", ""):
        with pytest.raises(UsageError):
            Client(url, "token")
    Client("http://[::1]:8270", "token")


def test_a_server_that_takes_a_connection_and_never_answers_is_given_up_after_its_time() -> None:
    """As a machine behind a cut cable, or a proxy whose server is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = Client(
            f"http://127.0.0.1:{listening.getsockname()[1]}",
            "token",
            ClientLimits(connect_s=1, read_s=0.3, tries=2, pause_s=0.01),
        )
        with pytest.raises(ServerUnavailable, match="does not answer: ReadTimeoutError"):
            client.me()
