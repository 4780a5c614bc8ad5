"""Events of runs, as the views get them."""

from __future__ import annotations

from collections.abc import Iterator

from swath import events
from swath.reporting.run_progress import RunProgress

RUN = "20240601-120000-map-abcd"


def run_events(calls: int = 20, *, fail: int = -1, seconds: float = 1.0) -> Iterator[events.Event]:
    """Events of a run that maps over `calls` items, `seconds` each."""
    now = 1_000_000.0
    yield events.RunStarted(time=now, run=RUN, pipeline="predict", name="map", spec="map.yaml", cluster="local")
    yield events.ClusterReady(time=now, run=RUN, cluster="local", workers=2, seconds=1.2, address="tcp://127.0.0.1:1")
    yield events.NodeOpened(time=now, run=RUN, node="plan", total=1)
    yield events.CallStarted(time=now, run=RUN, node="plan", item=None, worker="w0")
    yield events.CallDone(time=now, run=RUN, node="plan", item=None, worker="w0", seconds=0.5)
    yield events.NodeDone(time=now + 0.5, run=RUN, node="plan", state="done")
    yield events.NodeOpened(time=now, run=RUN, node="predict_region", total=calls)
    for item in range(calls):
        yield events.CallStarted(time=now, run=RUN, node="predict_region", item=item, worker="w0")
        now += seconds
        yield events.CallProgress(
            time=now, run=RUN, node="predict_region", item=item, done=1, total=2, pixels=1_000_000
        )
        if item == fail:
            yield events.CallFailed(time=now, run=RUN, node="predict_region", item=item, error="ReadFailed: torn\nat 3")
        else:
            yield events.CallDone(time=now, run=RUN, node="predict_region", item=item, worker="w0", seconds=seconds)


def progress_after(source: Iterator[events.Event]) -> RunProgress:
    progress = RunProgress()
    for event in source:
        progress.take(event)
    return progress
