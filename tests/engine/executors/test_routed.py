from __future__ import annotations

import pytest

from swath.cluster.contract import RunningCluster
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import CLIENT_WORKER, InlineExecutor
from swath.engine.executors.routed import RoutedExecutor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.testing import tasks
from swath.testing.executor import ExecutorTests, Harness, OpenExecutor


class TestRoutedExecutor(ExecutorTests):
    @pytest.fixture
    def open_executor(self, local: RunningCluster) -> OpenExecutor:
        def open_routed(on_output: OutputListener) -> Executor:
            client = InlineExecutor(on_output, Stop())
            return RoutedExecutor(client, lambda: local.executor(on_output, Stop()))

        return open_routed


class Starts:
    """Starts a cluster that is this process, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def open(self, on_output: OutputListener) -> RoutedExecutor:
        def start() -> Executor:
            self.count += 1
            return InlineExecutor(on_output, Stop())

        return RoutedExecutor(InlineExecutor(on_output, Stop()), start)


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
def harness(starts: Starts, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(starts.open, ResultStore(str(tmp_path_factory.mktemp("results"))), 10.0)


def test_calls_on_the_client_start_no_cluster(starts: Starts, harness: Harness) -> None:
    harness.submit(harness.calls(tasks.square.options(on_client=True), range(3)))
    (result,) = harness.results()
    assert [harness.value(outcome) for outcome in result.outcomes] == [0, 1, 4]
    assert result.worker == CLIENT_WORKER
    assert starts.count == 0


def test_the_cluster_starts_once_after_the_calls_on_the_client(starts: Starts, harness: Harness) -> None:
    client = harness.submit(harness.calls(tasks.square.options(on_client=True), [1]))
    harness.submit(harness.calls(tasks.square, [2]))
    harness.submit(harness.calls(tasks.square, [3]))
    results = harness.results()
    assert next(results).batch == client
    assert starts.count == 0
    assert len(list(results)) == 2
    assert starts.count == 1
