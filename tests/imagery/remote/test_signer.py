"""Signed URLs that expired are signed again, once, for the same file only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swath.errors import CredentialsError
from tests.imagery.remote.client import Client
from tests.imagery.servers import Asked, Fault, Web, web


def signed_only(good: str) -> Callable[[Asked], Fault | None]:
    return lambda asked: None if asked.query == good else Fault(403)


def test_an_expired_signature_is_renewed_once(
    server: Web, folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server.address.removeprefix("http://")
    monkeypatch.setenv("SWATH_SIGNERS", f"{host}={server.address}/sign")
    server.rule = signed_only("sig=fresh1")
    client.check(f"{server.address}/a.tif?sig=old", folder)
    assert server.signed == 1
    server.rule = signed_only("sig=never")
    with pytest.raises(CredentialsError, match="403"):
        client.check(f"{server.address}/a.tif?sig=old", folder)
    assert server.signed == 2


def test_an_expired_signature_that_nobody_renews_says_what_to_do(server: Web, client: Client) -> None:
    server.rule = signed_only("sig=fresh")
    with pytest.raises(CredentialsError, match=r"a\.tif: the server answered 403") as refused:
        client.scenes(f"{server.address}/a.tif?sig=canary")
    assert refused.value.exit_code == 4
    assert "SWATH_SIGNERS" in refused.value.remedy
    assert "canary" not in str(refused.value)
    assert len(server.asked) == 1


def test_a_signer_that_sends_another_address_is_not_followed(
    server: Web, folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server.address.removeprefix("http://")
    with web(folder, lambda _: Fault(200, body=b'{"href": "http://127.0.0.1:9/other.tif?sig=x"}')) as liar:
        monkeypatch.setenv("SWATH_SIGNERS", f"{host}={liar.address}/lies")
        server.rule = signed_only("sig=fresh")
        with pytest.raises(CredentialsError, match="could not be signed"):
            client.scenes(f"{server.address}/a.tif")
