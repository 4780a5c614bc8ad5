"""A machine asks its cloud's metadata server, at an address that a simulated cloud may replace."""

from __future__ import annotations

import io
import urllib.request

import pytest

from swath.cluster.machine import metadata


@pytest.mark.parametrize("replaced", ["", "http://127.0.0.1:1"])
def test_the_server_is_asked_with_the_header_and_a_time_limit(monkeypatch: pytest.MonkeyPatch, replaced: str) -> None:
    asked: list[tuple[str, str, str | None, float]] = []

    def read(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        asked.append((request.get_method(), request.full_url, request.get_header("Metadata-flavor"), timeout))
        return io.BytesIO("größe".encode())

    monkeypatch.setattr(metadata._direct, "open", read)
    monkeypatch.setenv(metadata.METADATA, replaced)
    assert metadata.read_metadata("/x", metadata.GOOGLE, "PUT") == "größe"
    assert asked == [("PUT", f"{replaced or 'http://169.254.169.254'}/x", "Google", metadata.TIMEOUT_S)]
