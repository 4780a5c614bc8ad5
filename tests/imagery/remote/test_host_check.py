"""An item from the network names no file and no host of this machine, also not by a name, a redirect or a second answer of DNS."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from swath.errors import ImageryError
from swath.imagery.remote.host_check import CheckedPools, check_redirect, check_reference, is_own_host

CATALOGUE = "https://stac.example.com/item.json"


@pytest.mark.parametrize(
    "href",
    ["file:///etc/passwd", "/etc/passwd", "FILE:///etc/passwd", "file:/x", "x.tif", "local:///x", "data:image/tiff;base64,AA"],
)  # fmt: skip
@pytest.mark.parametrize("origin", [CATALOGUE, "s3://bucket/item.json", "http://127.0.0.1:80/item.json"])
def test_a_file_of_this_machine_is_refused_below_any_remote_document(href: str, origin: str) -> None:
    with pytest.raises(ImageryError, match="item one: an item from the network names a file of this machine"):
        check_reference(href, origin, "item one")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "169.254.169.254", "[fe80::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)  # fmt: skip
def test_a_host_of_this_machine_or_link_is_refused_unless_the_catalogue_is_on_one(host: str) -> None:
    href = f"http://{host}:8000/a.tif"
    with pytest.raises(ImageryError, match="names a host of this machine"):
        check_reference(href, CATALOGUE, "item one")
    with pytest.raises(ImageryError, match="redirects to a host of this machine"):
        check_redirect(CATALOGUE, href)
    check_reference(href, "http://localhost/item.json", "item one")
    check_reference(href, "/data/item.json", "item one")
    assert check_redirect("http://localhost/item.json", href) == href


@pytest.mark.parametrize(
    "href",
    [
        "http://127.0.0.1:28182\\@stac.example.com/a.tif", "http://stac.example.com\\@127.0.0.1/a.tif", "http://127.0.0.1\t/a.tif",
        "http://127.0.0.1\n@stac.example.com/", "http://stac.example.com /a.tif",
        "http://\uff11\uff12\uff17.0.0.1/a.tif", "http://[::1/a.tif", "http://a\\b/c",
    ],
)  # fmt: skip
def test_an_address_that_two_readers_read_differently_is_refused(href: str) -> None:
    with pytest.raises(ImageryError, match=r"not an address whose host is plain|names a host of this machine"):
        check_reference(href, CATALOGUE, "item one")
    with pytest.raises(ImageryError, match=r"not an address whose host is plain|redirects to"):
        check_redirect(CATALOGUE, href)


def test_other_addresses_are_followed() -> None:
    for href in ("https://example.com/a.tif", "s3://bucket/a.tif", "gs://bucket/a.tif", "http://10.0.0.1/a.tif"):
        check_reference(href, CATALOGUE, "item one")
    for href in (
        "https://b\u00fccher.example/a b.tif",
        "https://user@example.com:8443/a%20b.tif?c=d\u00e9",
        "https://[2001:db8::1]/a",
    ):
        check_reference(href, CATALOGUE, "item one")
        assert check_redirect(CATALOGUE, href) == href
    assert not is_own_host("127.example.com")


@pytest.fixture
def server() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self) -> None:
            type(self).asked += 1
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield served.server_port
    served.shutdown()
    thread.join()
    served.server_close()


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """The name server answers with these addresses, one after another; returns the names that are asked for."""
    asked: list[str] = []
    known = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> Any:
        if host != "rebinding.example.com":
            return known(host, port, *rest, **more)
        asked.append(host)
        return known(addresses[min(len(asked), len(addresses)) - 1], port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_resolves_to_this_machine_is_not_connected_to(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "127.0.0.1")
    with pytest.raises(ImageryError, match=r"rebinding\.example\.com: resolves to 127\.0\.0\.1"):
        CheckedPools().request("GET", f"http://rebinding.example.com:{server}/")
    assert len(asked) == 1
    assert CheckedPools().request("GET", f"http://localhost:{server}/").status == 200


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "192.0.2.1", "127.0.0.1")
    used: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> None:
        used.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(Exception, match="no network"):
        CheckedPools().request("GET", "http://rebinding.example.com/", retries=False)
    assert used == [("192.0.2.1", 80)]
    assert len(asked) == 1


def test_a_redirect_is_followed_between_hosts_of_this_machine(server: int) -> None:
    assert CheckedPools().request("GET", f"http://127.0.0.1:{server}/away").status == 200
