"""A run of light calls begins in the client's process and gets a cluster when the work that is left is worth it."""

from __future__ import annotations

from collections import deque

import pytest

from swath.cluster.contract import RunningCluster
from swath.engine.call import BatchResult, CallBatch, OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.executors.growing import GrowingExecutor, GrowthLimits
from swath.engine.executors.inline import CLIENT_WORKER, InlineExecutor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.testing import tasks
from swath.testing.executor import ExecutorTests, Harness, OpenExecutor

LIGHT = tasks.square.options(light=True)
WORKER = "a worker"


class TestGrowingExecutor(ExecutorTests):
    @pytest.fixture
    def open_executor(self, local: RunningCluster) -> OpenExecutor:
        def open_growing(on_output: OutputListener) -> Executor:
            return GrowingExecutor(
                lambda: InlineExecutor(on_output, Stop()), lambda: local.executor(on_output, Stop()), 2, raised
            )

        return open_growing


def raised(error: InfrastructureError) -> None:
    raise error


class Cluster:
    """A cluster that is this process. Its workers give no result while they are `busy`, as when they import their libraries."""

    slots, window, batch_s = 2, 6, 0.3

    def __init__(self, on_output: OutputListener) -> None:
        self.here = InlineExecutor(on_output, Stop())
        self.taken: deque[CallBatch] = deque()
        self.reported: list[tuple[int, float | None]] = []
        self.busy = True
        self.closed = False

    def submit(self, batch: CallBatch) -> None:
        self.taken.append(batch)

    def wait(self, timeout_s: float) -> list[BatchResult]:
        if self.busy or not self.taken:
            return []
        self.here.submit(self.taken.popleft())
        return [result._replace(worker=WORKER) for result in self.here.wait(timeout_s)]

    def backlog(self, calls: int, seconds: float | None) -> None:
        self.reported.append((calls, seconds))

    def close(self) -> None:
        self.closed = True


class Growth:
    """A GrowingExecutor with two workers, and what it began and started."""

    def __init__(self) -> None:
        self.begun = 0
        self.failures: list[str] = []
        self.clusters: list[Cluster] = []
        self.works = True
        self.slowdown = 1.0
        self.executor: GrowingExecutor

    def open(self, on_output: OutputListener) -> Executor:
        def begin() -> Executor:
            self.begun += 1
            return InlineExecutor(on_output, Stop())

        def start() -> Executor:
            if not self.works:
                raise InfrastructureError("the local cluster did not come up")
            self.clusters.append(Cluster(on_output))
            return self.clusters[-1]

        self.executor = GrowingExecutor(
            begin, start, 2, lambda error: self.failures.append(error.message), GrowthLimits(start_s=4, calls=100),
            lambda: self.slowdown,
        )  # fmt: skip
        return self.executor


@pytest.fixture
def growth() -> Growth:
    return Growth()


@pytest.fixture
def harness(growth: Growth, tmp_path: object) -> Harness:
    return Harness(growth.open, ResultStore(str(tmp_path)), 10.0)


def test_light_calls_run_here_and_start_no_cluster_for_little_work(growth: Growth, harness: Harness) -> None:
    for number in range(3):
        harness.submit(harness.calls(LIGHT, [number]))
        growth.executor.backlog(5, 7.9)
        (result,) = harness.results()
        assert result.worker == CLIENT_WORKER
    assert (growth.begun, growth.clusters) == (1, [])
    assert (growth.executor.slots, growth.executor.window) == (1, 1)


@pytest.mark.parametrize(("calls", "seconds"), [(5, 8.1), (100, None)])
def test_much_work_starts_it_once_and_this_process_goes_on_until_workers_give_results(
    growth: Growth, harness: Harness, calls: int, seconds: float | None
) -> None:
    growth.executor.backlog(calls, seconds)
    growth.executor.backlog(calls, seconds)
    (cluster,) = growth.clusters
    assert cluster.reported == [(calls, seconds)]
    assert (growth.executor.slots, growth.executor.window, growth.executor.batch_s) == (2, 6, 0.3)
    for number in range(3):
        harness.submit(harness.calls(LIGHT, [number]))
    assert len(cluster.taken) == 2
    (first,) = growth.executor.wait(0.0)
    assert first.worker == CLIENT_WORKER
    harness.submit(harness.calls(LIGHT, [3]))
    cluster.busy = False
    assert [each.worker for each in growth.executor.wait(0.0)] == [WORKER, CLIENT_WORKER]
    harness.submit(harness.calls(LIGHT, [4]))
    assert [growth.executor.wait(0.0)[0].worker for _ in range(2)] == [WORKER, WORKER]


@pytest.mark.parametrize(("calls", "seconds"), [(1, 1000.0), (99, None)])
def test_one_call_or_few_of_unknown_duration_start_none(
    growth: Growth, harness: Harness, calls: int, seconds: float | None
) -> None:
    growth.executor.backlog(calls, seconds)
    assert not growth.clusters


def test_a_start_costs_more_on_a_machine_with_other_work(growth: Growth, harness: Harness) -> None:
    growth.slowdown = 3.0
    growth.executor.backlog(50, 23.9)
    assert not growth.clusters
    growth.executor.backlog(50, 24.1)
    assert len(growth.clusters) == 1


def test_another_call_and_one_that_needs_resources_start_it_at_once(growth: Growth, harness: Harness) -> None:
    harness.submit(harness.calls(tasks.square, [1]))
    assert len(growth.clusters[0].taken) == 1
    assert growth.begun == 0
    growth.clusters[0].busy = False
    assert next(harness.results()).worker == WORKER
    harness.submit(harness.calls(LIGHT.options(resources={"gpu": 1}), [1]))
    assert next(harness.results()).worker == WORKER


def test_where_it_does_not_come_up_the_calls_go_on_here_and_it_is_tried_once(growth: Growth, harness: Harness) -> None:
    growth.works = False
    growth.executor.backlog(50, 100.0)
    growth.executor.backlog(50, 100.0)
    assert growth.failures == ["the local cluster did not come up"]
    harness.submit(harness.calls(LIGHT, [2]))
    assert next(harness.results()).worker == CLIENT_WORKER
    with pytest.raises(InfrastructureError):
        harness.submit(harness.calls(tasks.square, [1]))


def test_it_closes_both(growth: Growth, harness: Harness) -> None:
    growth.executor.close()
    growth.executor.backlog(50, 100.0)
    harness.submit(harness.calls(LIGHT, [2]))
    growth.executor.close()
    growth.executor.close()
    assert growth.clusters[0].closed
