from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.cli.commands.server import serve
from swath.errors import UsageError
from swath.server.refusals import Unauthorized
from swath.server.serving import ListenAddress, Server

URL = "https://swath.example.org"


def test_the_first_start_prints_a_link_that_signs_the_first_admin_in_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = []

    def run(server: Server, ready: Callable[[], None]) -> None:
        ready()
        for link in re.findall(rf"{URL}/sign-in\?link=(\w+)\n", capsys.readouterr().err):
            who = server.services.sessions.find(server.services.sign_in.with_link(link))
            used.append((who.name, who.role))
            with pytest.raises(Unauthorized):
                server.services.sign_in.with_link(link)
        server.close()

    monkeypatch.setattr(Server, "run", run)
    for _ in range(2):
        assert serve(ListenAddress(port=0, url=f"{URL}/"), tmp_path, None) == 0
    assert used == [("admin", "admin")]  # the second start prints none


def test_the_file_of_an_identity_provider_is_read_and_needs_the_servers_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def run(server: Server, ready: Callable[[], None]) -> None:
        names.append(server.services.oidc and server.services.oidc.name)
        server.close()

    monkeypatch.setattr(Server, "run", run)
    file = tmp_path / "oidc.yaml"
    file.write_text("issuer: https://login.example.org\nclient_id: swath\nname: the lab\n")
    assert serve(ListenAddress(port=0, url=URL), tmp_path / "data", None, oidc=file) == 0
    assert serve(ListenAddress(port=0, url=URL), tmp_path / "data", None) == 0
    assert names == ["the lab", None]
    with pytest.raises(UsageError, match="where it sends people back to"):
        serve(ListenAddress(port=0), tmp_path / "other", None, oidc=file)
