from __future__ import annotations

from pathlib import Path

import pytest

from swath.engine import batch_execution
from swath.engine.batch_execution import execute_batch, peak_memory, worker_name
from swath.engine.call import Call, CallBatch, NodeContext
from swath.engine.store import INLINE_BYTES, ResultStore
from swath.graph.task import Task
from swath.testing import tasks


def batch_of(task: Task, folder: Path, values: range | list[str], budget_s: float = 60.0) -> CallBatch:
    context = NodeContext("run", task.name, task, {}, ResultStore(str(folder)), mapped=True)
    return CallBatch(1, tuple(Call(context, item, "key", (value,)) for item, value in enumerate(values)), budget_s)


def test_the_first_call_is_executed_whatever_the_budget(tmp_path: Path) -> None:
    outcomes = list(execute_batch(batch_of(tasks.square, tmp_path, range(5), 0.0), lambda output: None, "here"))
    assert len(outcomes) == 1


def test_a_batch_ends_early_when_the_results_that_travel_with_it_are_large(tmp_path: Path) -> None:
    values = ["x" * (INLINE_BYTES - 100)] * 1000
    outcomes = list(execute_batch(batch_of(tasks.same, tmp_path, values), lambda output: None, "here"))
    assert len(outcomes) == pytest.approx(batch_execution.BATCH_RESULT_BYTES / INLINE_BYTES, rel=0.05)


def test_a_signal_or_an_exit_is_no_outcome(tmp_path: Path) -> None:
    def leave(x: int) -> None:
        raise SystemExit(3)

    from swath.graph.task import task

    with pytest.raises(SystemExit):
        list(execute_batch(batch_of(task(leave), tmp_path, range(2)), lambda output: None, "here"))


def test_this_process_has_a_name_and_a_peak_of_memory() -> None:
    assert ":" in worker_name()
    assert peak_memory() > 10 * 2**20
