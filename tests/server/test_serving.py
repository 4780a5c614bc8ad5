from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import InfrastructureError, UsageError
from swath.protocol.tokens import token_kind
from swath.server.serving import ListenAddress, Server


def test_an_address_that_others_reach_needs_tls_or_a_proxy_and_a_name(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    with pytest.raises(UsageError, match="in the clear"):
        ListenAddress(host="0.0.0.0").check()
    with pytest.raises(UsageError, match="how the server is called"):
        ListenAddress(host="0.0.0.0", behind_proxy=True).check()
    with pytest.raises(UsageError, match="TLS needs both"):
        ListenAddress(certificate=certificate).check()
    ListenAddress(host="0.0.0.0", behind_proxy=True, url="https://swath.example.org").check()
    ListenAddress(host="0.0.0.0", certificate=certificate, key=certificate, url="https://swath.example.org").check()
    assert "swath.example.org" in ListenAddress(url="https://Swath.example.org:8443/x").hosts
    ListenAddress().check()


def test_the_first_start_writes_an_admins_token_that_only_this_user_can_read(tmp_path: Path) -> None:
    server = Server(ListenAddress(port=0), tmp_path / "data")
    file = server.first_token()
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert token_kind(token) == "user"
    assert server.services.accounts.identify(token).role == "admin"
    assert server.first_token() is None
    assert file.read_text().strip() == token
    server.services.accounts.revoke("admin", who="admin")  # nobody is left who could make another one
    assert server.first_token() == file
    assert server.services.accounts.identify(file.read_text().strip()).role == "admin"
    with pytest.raises(InfrastructureError, match="cannot be listened on"):
        Server(ListenAddress(port=int(server.url.rpartition(":")[2])), tmp_path / "other")
    server.close()
