from __future__ import annotations

from collections.abc import Mapping

import pytest

from swath.cluster.contract import RunningCluster
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.stop import Stop
from swath.errors import InfrastructureError
from swath.testing import tasks
from swath.testing.executor import ExecutorTests, Harness, OpenExecutor


class TestDaskExecutor(ExecutorTests):
    @pytest.fixture
    def open_executor(self, local: RunningCluster) -> OpenExecutor:
        return lambda on_output: local.executor(on_output, Stop())

    def test_it_is_what_a_local_cluster_uses(self, harness: Harness) -> None:
        assert isinstance(harness.executor, DaskExecutor)
        assert harness.executor.slots == 2

    def test_two_executors_of_one_run_on_one_cluster_do_not_get_each_other_s_results(
        self, open_executor: OpenExecutor, harness: Harness
    ) -> None:
        """As of a session that was killed, and the one that resumes it on the same scheduler."""
        other = Harness(open_executor, harness.store, self.deadline_s)
        harness.submit(harness.calls(tasks.same, ["a", "b", "c"]))
        other.submit(other.calls(tasks.same, ["a", "x"]))
        for each, values in ((harness, ["a", "b", "c"]), (other, ["a", "x"])):
            (result,) = each.results()
            assert [each.value(outcome) for outcome in result.outcomes] == values
        other.executor.close()

    def test_resources_that_no_worker_can_have_are_refused_when_a_batch_is_submitted(
        self, open_executor: OpenExecutor, harness: Harness
    ) -> None:
        def check(resources: Mapping[str, float]) -> None:
            if "gpu" in resources:
                raise InfrastructureError("no worker has gpu")

        def open_checked(on_output: OutputListener) -> DaskExecutor:
            assert isinstance(harness.executor, DaskExecutor)
            return DaskExecutor(harness.executor._client, on_output, check=check)

        checked = Harness(open_checked, harness.store, self.deadline_s)
        with pytest.raises(InfrastructureError, match="no worker has gpu"):
            checked.submit(checked.calls(tasks.square.options(resources={"gpu": 1}), [1]))
        checked.executor.close()
