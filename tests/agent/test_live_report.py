from __future__ import annotations

from pathlib import Path

import pytest

from swath.agent.live_report import LiveReport
from swath.errors import UsageError
from swath.protocol.client import Client
from swath.protocol.live import Live
from tests.agent.test_supervisor import attempt


def test_a_document_is_sent_once_and_a_server_that_takes_none_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Live] = []
    monkeypatch.setattr(Client, "send_live", lambda client, run, number, live: sent.append(live))
    folder, client = attempt(tmp_path, 1), Client("http://127.0.0.1:9", "token")
    report = LiveReport(folder)
    for text in ("no document", '{"nodes": []}', '{"nodes": []}', '{"nodes": [], "workers": 2}'):
        folder.live.write_text(text)
        report.send(client)
    assert sent == [Live(nodes=()), Live(nodes=(), workers=2)]

    def refuse(client: Client, run: str, number: int, live: Live) -> None:
        sent.append(live)
        raise UsageError("there is no such route")

    monkeypatch.setattr(Client, "send_live", refuse)
    for workers in (3, 4):
        folder.live.write_text(f'{{"nodes": [], "workers": {workers}}}')
        report.send(client)
    assert len(sent) == 3
