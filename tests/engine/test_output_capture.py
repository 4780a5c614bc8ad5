from __future__ import annotations

import logging
import warnings

import pytest

from swath.engine.call import Call, CallOutput, NodeContext
from swath.engine.output_capture import OutputCapture
from swath.engine.store import ResultStore
from swath.graph.task import Task
from swath.testing import tasks


def call_of(task: Task, item: int = 3) -> Call:
    return Call(NodeContext("run", "node", task, {}, ResultStore("memory://output"), mapped=True), item, "key", (1,))


@pytest.fixture
def outputs() -> list[CallOutput]:
    return []


@pytest.fixture
def capture(outputs: list[CallOutput]) -> OutputCapture:
    return OutputCapture(outputs.append, "worker-0")


def test_lines_records_and_warnings_say_which_call_they_come_from(
    capture: OutputCapture, outputs: list[CallOutput]
) -> None:
    with capture.active("run"):
        capture.begin(call_of(tasks.square))
        print("one\ntwo", end="")
        capture.end()
        capture.begin(call_of(tasks.square, 4))
        logging.getLogger("mine").info("three")
        warnings.warn("four", UserWarning, stacklevel=1)
        capture.end()
    assert [(o.level, o.text, o.item) for o in outputs] == [
        ("started", "", 3), ("info", "one", 3), ("info", "two", 3), ("info", "three", 4),
        ("warning", "UserWarning: four", 4),
    ]  # fmt: skip
    assert {(o.node, o.worker, o.attempt) for o in outputs} == {("node", "worker-0", 1)}


def test_records_of_libraries_below_a_warning_and_deprecations_are_left_out(
    capture: OutputCapture, outputs: list[CallOutput]
) -> None:
    with capture.active("run"):
        capture.begin(call_of(tasks.square))
        logging.getLogger("urllib3.connectionpool").info("a connection")
        logging.getLogger("urllib3.connectionpool").warning("a retry")
        logging.getLogger("rasterio").critical("broken")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        capture.end()
    assert [(o.level, o.text) for o in outputs if o.text] == [("warning", "a retry"), ("error", "broken")]


def test_between_calls_nothing_is_captured_and_afterwards_all_is_as_before(
    capture: OutputCapture, outputs: list[CallOutput], capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with capture.active("run"):
        print("between")
    print("after")
    assert outputs == []
    assert capsys.readouterr().out == "after\n"
    assert (root.level, list(root.handlers)) == before
