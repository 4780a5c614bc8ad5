"""A run's events as a stream: from the first line to the end, and on from any line."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from swath.server.api import events
from swath.server.rate_limit import StreamLimit
from swath.server.refusals import TooMany
from tests.server.test_app import Caller, Site, claimed, site

__all__ = ["site"]


def parsed(text: str) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each event with data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def begun(site: Site) -> tuple[str, Caller]:
    run = site.submit(site.user("ada", "runner"))
    agent, identity = site.agent("desk")
    attempt = Caller(site.client, claimed(agent, identity, "desk")["token"])
    attempt("POST", f"/attempts/{run}/1/beat", {})
    send(attempt, run, 1, 2)
    return run, attempt


def send(attempt: Caller, run: str, *numbers: int) -> None:
    lines = [{"id": n, "time": 5.0, "level": "info", "text": f"line {n}\nand more"} for n in numbers]
    attempt("POST", f"/attempts/{run}/1/lines", {"lines": lines})


def test_a_stream_has_every_line_and_every_state_once_and_ends_with_the_run(site: Site) -> None:
    run, attempt = begun(site)
    got: list[Any] = []
    address, headers = f"/api/v1/runs/{run}/events", site.admin._headers
    thread = threading.Thread(target=lambda: got.append(site.client.get(address, headers=headers)))
    thread.start()
    send(attempt, run, 3)
    attempt("POST", f"/attempts/{run}/1/end", {"status": "done", "exit_code": 0}, 204)
    thread.join(100)
    (answer,) = got
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    found = parsed(answer.text)
    assert [number for event, number, _ in found if event == "line"] == ["1", "2", "3"]
    assert found[0][0] == "run"
    assert found[-1][0] == "end"
    last = [data for event, _, data in found if event == "run"][-1]
    assert (last["state"], last["status"]) == ("ended", "done")
    cut = site.client.get(address, headers={**headers, "Last-Event-ID": "2"})  # as a browser asks whose stream was cut
    assert [number for event, number, _ in parsed(cut.text) if event == "line"] == ["3"]
    later = site.client.get(f"{address}?after=1", headers=headers).text
    assert [number for _, number, _ in parsed(later) if number] == ["2", "3"]


def test_a_stream_ends_when_its_token_is_revoked_or_the_server_ends(site: Site) -> None:
    run, _ = begun(site)
    token = site.services.accounts.create("user", "eve", "viewer", who="test")
    got: list[str] = []

    def read() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        got.append(site.client.get(f"/api/v1/runs/{run}/events", headers=headers).text)

    thread = threading.Thread(target=read)
    thread.start()
    site.services.accounts.revoke("eve", who="test")
    thread.join(100)
    assert not thread.is_alive()
    assert "event: end" not in got[0]
    site.services.wakeup.closed = True
    assert "event: end" not in site.client.get(f"/api/v1/runs/{run}/events", headers=site.admin._headers).text


def test_a_run_of_another_project_has_no_stream_and_streams_are_counted(site: Site) -> None:
    run, _ = begun(site)
    site.user("sea", "viewer", "seas")("GET", f"/runs/{run}/events", status=404)
    limit = StreamLimit(1)
    with limit.one("ada"), pytest.raises(TooMany, match="open streams"):
        limit.check("ada")
    limit.check("ada")
    assert events.LINES <= 1000
