from __future__ import annotations

import pytest

from swath.engine.call import OutputListener
from swath.engine.executors.inline import InlineExecutor
from swath.engine.stop import Stop
from swath.errors import Interrupted
from swath.testing import tasks
from swath.testing.executor import ExecutorTests, Harness, OpenExecutor


def open_inline(on_output: OutputListener) -> InlineExecutor:
    return InlineExecutor(on_output, Stop())


class TestInlineExecutor(ExecutorTests):
    has_workers = False

    @pytest.fixture
    def open_executor(self) -> OpenExecutor:
        return open_inline

    def test_once_a_stop_is_requested_no_call_is_executed(self, harness: Harness, folder: str) -> None:
        assert isinstance(harness.executor, InlineExecutor)
        harness.executor._stop.requested = Interrupted("interrupted")
        harness.submit(harness.calls(tasks.square, range(3), folder=folder))
        (result,) = harness.results()
        assert result.outcomes == []
        assert tasks.notes(folder) == []
