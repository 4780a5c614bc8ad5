"""Remote files that are damaged, or change while they are open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swath.errors import ReadFailed
from swath.geo import Window
from tests.imagery.remote.client import Client
from tests.imagery.servers import Web


def test_a_truncated_and_a_damaged_file_fail_with_their_address(server: Web, folder: Path, client: Client) -> None:
    data = bytearray((folder / "a.tif").read_bytes())
    (folder / "short.tif").write_bytes(data[: len(data) // 2])
    data[len(data) // 2 : len(data) // 2 + 40_000] = bytes(40_000)  # whole blocks, and where they begin
    (folder / "damaged.tif").write_bytes(data)
    for name in ("short.tif", "damaged.tif"):
        # Memory that held the right bytes before must not stand in for those that are missing.
        client.check(f"{server.address}/a.tif", folder)
        with pytest.raises(ReadFailed, match=rf"{name}.*(rows 0-256|opening)"):
            client.read(client.scenes(f"{server.address}/{name}"))


def test_a_file_that_changes_while_it_is_read_fails(server: Web, folder: Path, client: Client) -> None:
    scenes = client.scenes(f"{server.address}/a.tif")
    client.read(scenes, Window(0, 0, 8, 8))
    os.utime(folder / "a.tif", (1, 1))
    with pytest.raises(ReadFailed, match="changed while it was read"):
        client.read(scenes, Window(200, 200, 8, 8))


def test_ranges_of_a_file_with_an_etag_are_cached(
    server: Web, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    Client().check(f"{server.address}/a.tif", folder)
    assert list((tmp_path / "cache").glob("??/*"))
