"""Output on its way from a worker to the client."""

from __future__ import annotations

from typing import Any

from swath.engine.call import CallOutput
from swath.engine.executors.dask_worker import _OutputSender


def output(level: str, item: int = 0, **more: Any) -> CallOutput:
    return CallOutput("node", item, 1, 0.0, level, **more)


def test_the_first_output_is_sent_at_once_and_what_is_left_at_the_end_is_returned() -> None:
    sent: list[list[tuple[Any, ...]]] = []
    sender = _OutputSender(sent.append)
    sender.add(output("info", text="first"))
    sender.add(output("info", text="second"))
    assert [[fields[5] for fields in message] for message in sent] == [["first"]]
    assert [left.text for left in sender.rest()] == ["second"]
    assert sender.rest() == ()


def test_of_progress_only_the_newest_is_sent_with_the_pixels_of_all() -> None:
    sender = _OutputSender(lambda outputs: None)
    sender.add(output("info", text="first"))
    for done in (1, 2, 3):
        sender.add(output("progress", 7, done=done, total=9, pixels=10))
    sender.add(output("progress", 8, done=1, total=9, pixels=5))
    assert [(left.item, left.done, left.pixels) for left in sender.rest()] == [(7, 3, 30), (8, 1, 5)]
