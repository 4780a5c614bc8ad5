"""Waiting for a run of a server that is away for a while."""

from __future__ import annotations

import io

import pytest

from swath.cli.commands.remote_runs import follow_run, wait_for
from swath.client import Client, ClientLimits, Line, LinePage, RunInfo, ServerUnavailable

RUN = "20261128-lake"


class Answers(Client):
    """A server that is away for every second request, or for good after some."""

    def __init__(self, good: int | None = None, away_s: float = 60.0) -> None:
        super().__init__("http://127.0.0.1:9", "token", ClientLimits(away_s=away_s, away_pause_s=0.01))
        self._asked = 0
        self._good = good

    def _away(self) -> bool:
        self._asked += 1
        return self._asked % 2 == 0 if self._good is None else self._asked > self._good

    def lines(self, run: str, after: int = 0, level: str | None = None, wait_s: float = 0) -> LinePage:
        if self._away():
            raise ServerUnavailable("the server does not answer")
        line = Line(id=after + 1, time=5.0, level="info", text=f"line {after + 1}")
        return LinePage(lines=(line,), next=after + 1, ended=after == 3)

    def run(self, run: str, wait_s: float = 0) -> RunInfo:
        if self._away():
            raise ServerUnavailable("the server does not answer")
        return RunInfo(
            id=RUN, project="lakes", name="lake", pipeline="predict", state="ended" if self._asked > 4 else "running",
            status="partial", exit_code=3, error="", labels=(), priority=0, limit_key=None, attempt=1, attempts=1,
            requested_by="ada", cancel="", queued=1.0, started=2.0, ended=None, agent="desk", silent_s=0.0,
            outputs=("out/map.tif",), summary={},
        )  # fmt: skip


def test_the_log_goes_on_where_it_was_and_the_end_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    follow_run(Answers(), RUN, None, as_json=False, out=out)
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["1", "2", "3", "4"]
    assert wait_for(Answers(), RUN, as_json=False) == 3
    printed = capsys.readouterr()
    assert printed.out == "out/map.tif\n"
    assert f"the server does not answer; still waiting for {RUN}" in printed.err


def test_a_server_that_stays_away_ends_the_wait() -> None:
    with pytest.raises(ServerUnavailable):
        wait_for(Answers(good=1, away_s=0.05), RUN, as_json=False)
    with pytest.raises(ServerUnavailable):
        follow_run(Answers(good=1, away_s=0.05), RUN, None, as_json=False, out=io.StringIO())
