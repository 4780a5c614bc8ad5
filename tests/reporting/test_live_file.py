from __future__ import annotations

import time
from pathlib import Path

import pytest

from swath import events
from swath.protocol.live import MOST_NODES, Live
from swath.reporting import live_file
from swath.reporting.live_file import LiveFile

RUN = "20261129-lake"


def some_events() -> list[events.Event]:
    now = time.time()
    call = {"time": now, "run": RUN, "node": "infer"}
    return [
        events.ClusterReady(time=now, run=RUN, cluster="local", workers=3, seconds=1.0),
        events.NodeOpened(time=now, run=RUN, node="infer", total=4),
        events.CallStarted(**call, item=0, worker="w"),
        events.CallDone(**call, item=0, worker="w", seconds=1.0),
        events.CallDone(**call, item=1, worker="w", seconds=0.0, reused=True),
        *[events.CallRetried(**call, item=2, error=f"HTTP 503 after {n} s", attempt=n, delay_s=1.0) for n in (1, 2)],
        events.CallFailed(**call, item=2, error="HTTP 503"),
        events.CallStarted(**call, item=3, worker="w"),
        events.CallProgress(**call, item=3, done=1.0, total=2.0),
        events.CallMetrics(**call, item=3, values={"loss": 0.5, "gap": float("nan")}),
    ]


def ended() -> events.RunDone:
    return events.RunDone(time=time.time(), run=RUN, status="partial", exit_code=3, seconds=2.0)


def test_the_file_has_the_counts_of_nodes_and_the_groups_of_problems(tmp_path: Path) -> None:
    listener = LiveFile(tmp_path / "live.json")
    for event in [*some_events(), ended()]:
        listener(event)
    live = Live.model_validate_json((tmp_path / "live.json").read_text())
    (node,) = live.nodes
    assert (node.name, node.total, node.done, node.reused, node.failed, node.retried, node.active) == (
        "infer",
        4,
        2,
        1,
        1,
        2,
        1,
    )
    assert node.fraction == pytest.approx(3.5 / 4)
    assert node.metrics == {"loss": 0.5}
    assert live.workers == 3
    assert [(group.count, group.final, group.reason) for group in live.problems] == [
        (1, True, "HTTP 503"), (2, False, "HTTP 503 after 1 s"),
    ]  # fmt: skip
    assert live.current == node


def test_the_document_stays_small_whatever_the_run(tmp_path: Path) -> None:
    listener = LiveFile(tmp_path / "live.json")
    now = time.time()
    for number in range(2000):
        name = f"node{number}" + "x" * 1000
        listener(events.NodeOpened(time=now, run=RUN, node=name, total=10**9))
        listener(events.CallFailed(time=now, run=RUN, node=name, item=1, error="y" * 10_000))
    listener(ended())
    text = (tmp_path / "live.json").read_text()
    live = Live.model_validate_json(text)
    assert len(text) < 200_000
    assert (len(live.nodes), live.hidden, live.more_problems) == (MOST_NODES, 2000 - MOST_NODES, 1950)


def test_a_run_without_the_variable_writes_none_and_one_with_a_wrong_path_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(live_file.VARIABLE, raising=False)
    assert live_file.live_file() == []
    monkeypatch.setenv(live_file.VARIABLE, str(tmp_path / "nowhere" / "live.json"))
    (listener,) = live_file.live_file()
    listener(ended())
