"""The conformance suite of executors: what the engine relies on, as tests that every implementation runs.

Subclass ExecutorTests in a test module and give it the fixture `open_executor`:

    class TestMyExecutor(ExecutorTests):
        @pytest.fixture
        def open_executor(self):
            return MyExecutor  # or any function of an OutputListener

Call `pytest.register_assert_rewrite("swath.testing")` in a conftest.py to see the values of a failed assertion.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from swath.engine.call import BatchResult, Call, CallBatch, CallOutcome, CallOutput, NodeContext, OutputListener
from swath.engine.engine import Engine
from swath.engine.executors.executor import Executor
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.process import Process
from swath.engine.stop import Stop
from swath.engine.store import INLINE_BYTES, ResultStore
from swath.engine.stored_args import StoredArgument, StoredItems
from swath.events import CallDone, CallRetried, Event
from swath.graph.graph import Graph, Node
from swath.graph.ref import Ref
from swath.graph.task import Task
from swath.testing import tasks

OpenExecutor = Callable[[OutputListener], Executor]
SECRET = "s3cret-canary-4711"


class Harness:
    """Submits batches to one executor and collects results and output, as the engine does."""

    def __init__(self, open_executor: OpenExecutor, store: ResultStore, deadline_s: float) -> None:
        self.store = store
        self.outputs: list[CallOutput] = []
        self.order: list[tuple[str, Any]] = []
        """(`output`, its item) and (`result`, id of its batch), as they came."""
        self.executor = open_executor(self._on_output)
        self._deadline_s = deadline_s
        self._numbers = itertools.count(1)
        self._batches: dict[int, CallBatch] = {}

    def _on_output(self, output: CallOutput) -> None:
        self.outputs.append(output)
        self.order.append(("output", output.item))

    def calls(self, task: Task, items: Sequence[Any], **kwargs: Any) -> list[Call]:
        """The calls of a mapped node, one for each item."""
        context = NodeContext("run", task.name, task, kwargs, self.store, mapped=True)
        return [Call(context, number, f"key-{number}", (item,)) for number, item in enumerate(items)]

    def call(self, task: Task, *args: Any, **kwargs: Any) -> Call:
        """A single call."""
        return Call(NodeContext("run", task.name, task, kwargs, self.store, mapped=False), 0, "key", args)

    def submit(self, calls: Sequence[Call], budget_s: float = 60.0) -> int:
        """Submit calls as one batch; returns its id."""
        batch = CallBatch(next(self._numbers), tuple(calls), budget_s)
        self._batches[batch.id] = batch
        self.executor.submit(batch)
        return batch.id

    def results(self) -> Iterator[BatchResult]:
        """Results as they come, until every batch has one. Fails when one does not come in time."""
        until = time.monotonic() + self._deadline_s
        while self._batches:
            assert time.monotonic() < until, (
                f"batches {sorted(self._batches)} have no result after {self._deadline_s:g} s"
            )
            for result in self.executor.wait(0.2):
                assert result.batch in self._batches, f"batch {result.batch} is not in flight, or has a second result"
                batch = self._batches.pop(result.batch)
                assert len(result.outcomes) <= len(batch.calls), "more outcomes than calls"
                self.order.append(("result", result.batch))
                yield result

    def outcomes(self, calls: Sequence[Call], *, batch_size: int = 5) -> list[CallOutcome]:
        """The outcomes of calls in their order. Calls that came back without one are submitted again, alone where their
        batch was lost."""
        found: dict[int, CallOutcome] = {}
        submitted = {}
        for begin in range(0, len(calls), batch_size):
            some = list(calls[begin : begin + batch_size])
            submitted[self.submit(some)] = some
        for result in self.results():
            some = submitted.pop(result.batch)
            assert result.outcomes or result.lost or len(some) > 1, "a batch of one call needs an outcome"
            found.update({call.item: outcome for call, outcome in zip(some, result.outcomes, strict=False)})
            rest = some[len(result.outcomes) :]
            for again in [[call] for call in rest] if result.lost else [rest] if rest else []:
                submitted[self.submit(again)] = again
        return [found[call.item] for call in calls]

    def value(self, outcome: CallOutcome) -> Any:
        """The value that a call returned."""
        assert outcome.result is not None, outcome.error
        return self.store.get(outcome.result)

    def wait_for_notes(self, folder: str, *wanted: str) -> None:
        """Let the executor work until tasks have noted something. No batch may end meanwhile."""
        until = time.monotonic() + self._deadline_s
        while not set(wanted) <= set(tasks.notes(folder)):
            assert time.monotonic() < until, f"{wanted} were not noted after {self._deadline_s:g} s"
            assert self.executor.wait(0.05) == []


class ExecutorTests:
    """The suite. `folder` and `results` must be places that workers reach, too."""

    has_workers: ClassVar[bool] = True
    """Whether calls run in other processes than this one: such a process may die."""
    deadline_s: ClassVar[float] = 60.0
    """A result that has not come after so long will not come."""

    @pytest.fixture
    def open_executor(self) -> OpenExecutor:
        """A function that makes the executor to be tested, of a listener to the output of calls. It is closed by the suite."""
        raise NotImplementedError("give your test class a fixture `open_executor`")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        """An empty folder that tasks write to and the suite reads."""
        folder = tmp_path / "folder"
        folder.mkdir()
        return str(folder)

    @pytest.fixture
    def results(self, tmp_path: Path) -> str:
        """Folder or URL of the result store."""
        return str(tmp_path / "results")

    @pytest.fixture
    def harness(self, open_executor: OpenExecutor, results: str) -> Iterator[Harness]:
        """The executor, with a store that keeps SECRET out of results."""
        harness = Harness(open_executor, ResultStore(results, {SECRET: "TOKEN"}), self.deadline_s)
        yield harness
        harness.executor.close()

    # --- batches and their results

    def test_it_says_how_much_it_takes(self, harness: Harness) -> None:
        executor = harness.executor
        assert executor.slots >= 1
        assert executor.window >= 1
        assert executor.batch_s > 0
        executor.backlog(1000, None)
        executor.backlog(0, 0.0)

    def test_waiting_for_nothing_returns_no_result_in_time(self, harness: Harness) -> None:
        began = time.monotonic()
        assert harness.executor.wait(0.1) == []
        assert time.monotonic() - began < self.deadline_s

    def test_every_call_has_one_outcome_in_the_order_of_its_batch(self, harness: Harness, folder: str) -> None:
        outcomes = harness.outcomes(harness.calls(tasks.square, range(23), folder=folder))
        assert [harness.value(outcome) for outcome in outcomes] == [x * x for x in range(23)]
        assert sorted(map(int, tasks.notes(folder))) == list(range(23))

    def test_outcomes_tell_seconds_and_results_tell_the_worker(self, harness: Harness) -> None:
        harness.submit(harness.calls(tasks.square, range(3)))
        (result,) = harness.results()
        assert result.worker
        assert result.memory is None or result.memory > 2**20
        assert all(0 <= outcome.seconds < self.deadline_s for outcome in result.outcomes)

    def test_calls_beyond_the_budget_of_their_batch_come_back_unexecuted(self, harness: Harness, folder: str) -> None:
        harness.submit(harness.calls(tasks.square, range(200), folder=folder), budget_s=0.0)
        (result,) = harness.results()
        assert 1 <= len(result.outcomes) < 200
        assert not result.lost
        assert list(map(int, tasks.notes(folder))) == list(range(len(result.outcomes)))

    def test_a_result_is_returned_while_another_batch_still_runs(self, harness: Harness, folder: str) -> None:
        slow, quick = [harness.call(tasks.wait_for, "gate", folder=folder)], harness.calls(tasks.square, [3])
        first = quick if harness.executor.slots == 1 else slow  # with one slot, batches run in their order
        numbers = {harness.submit(calls): calls for calls in (first, slow if first is quick else quick)}
        results = harness.results()
        assert numbers[next(results).batch] is quick
        (Path(folder) / "gate").touch()
        last = next(results)
        assert numbers[last.batch] is slow
        assert harness.value(last.outcomes[0]) == "gate"

    def test_arguments_that_are_stored_results_are_loaded_where_the_call_runs(self, harness: Harness) -> None:
        parts = [harness.store.put(value) for value in (1, 2, 3)]
        numbers = StoredItems.write(parts, harness.store)
        plus = StoredArgument(harness.store.put({"plus": [10]}), (("item", "plus"), ("item", 0)))
        (outcome,) = harness.outcomes([harness.call(tasks.total, numbers, plus=plus)])
        assert harness.value(outcome) == 16

    def test_small_results_travel_and_large_ones_go_to_the_store(self, harness: Harness) -> None:
        small, large = harness.outcomes(harness.calls(tasks.same, ["x", "x" * (INLINE_BYTES + 1)]))
        assert small.result is not None
        assert small.result.data is not None
        assert large.result is not None
        assert large.result.data is None
        assert harness.value(large) == "x" * (INLINE_BYTES + 1)

    # --- errors

    def test_an_error_is_an_outcome_with_a_traceback_and_the_other_calls_are_executed(self, harness: Harness) -> None:
        calls = harness.calls(tasks.square, range(5))
        wrong = harness.calls(tasks.fail, range(5))[2]
        for batch in ([wrong], [*calls[:2], wrong, *calls[3:]]):
            outcomes = harness.outcomes(batch)
            for call, outcome in zip(batch, outcomes, strict=True):
                if call is not wrong:
                    assert harness.value(outcome) == call.item**2
                    continue
                assert outcome.result is None
                assert outcome.error == "OSError: number 2 is wrong"
                assert "in fail\n" in outcome.traceback
                assert "KeyError: 'cause 2'" in outcome.traceback
                assert outcome.retryable

    def test_errors_say_whether_a_retry_can_mend_them_and_keep_their_exit_code(self, harness: Harness) -> None:
        typing, own = harness.outcomes([harness.call(tasks.fail_for_good, 1)]) + harness.outcomes(
            [harness.call(tasks.fail_with_remedy, 2)]
        )
        assert typing.error == "TypeError: number 1 is of no use"
        assert not typing.retryable
        assert own.error.startswith("number 2 cannot be computed")
        assert "use another one" in own.error
        assert own.exit_code == 1

    def test_retries_are_left_to_the_engine(self, harness: Harness, folder: str) -> None:
        call = harness.call(tasks.fail_once, 3, folder=folder)
        (outcome,) = harness.outcomes([call])
        assert outcome.error == "OSError: number 3 is wrong at first"
        (again,) = harness.outcomes([call._replace(attempt=2)])
        assert harness.value(again) == 9

    # --- output

    def test_output_of_a_call_comes_in_order_and_before_its_result(self, harness: Harness) -> None:
        call = harness.calls(tasks.talk, range(8))[7]._replace(attempt=2)
        number = harness.submit([call])
        (result,) = harness.results()
        assert harness.value(result.outcomes[0]) == "run"
        assert [(output.level, output.text) for output in harness.outputs if output.level not in ("started",)] == [
            ("info", "printed 7"), ("warning", "logged 7"), ("warning", "UserWarning: warned 7"), ("progress", ""),
            ("metrics", '{"loss": 0.5}'), ("info", "two"), ("info", "lines 7"),
        ]  # fmt: skip
        assert {(o.node, o.item, o.attempt, o.worker) for o in harness.outputs} == {("talk", 7, 2, result.worker)}
        assert [(o.done, o.total, o.pixels) for o in harness.outputs if o.level == "progress"] == [(1, 2, 10)]
        assert harness.order[-1] == ("result", number)

    def test_a_start_is_reported_while_the_call_runs(self, harness: Harness, folder: str) -> None:
        if not self.has_workers:
            (Path(folder) / "gate").touch()
        harness.submit([harness.call(tasks.wait_for, "gate", folder=folder)])
        if self.has_workers:
            until = time.monotonic() + self.deadline_s
            while not harness.outputs:
                assert time.monotonic() < until, "no start was reported"
                assert harness.executor.wait(0.05) == []
            (Path(folder) / "gate").touch()
        list(harness.results())
        first = harness.outputs[0]
        assert (first.level, first.node, first.item) == ("started", "wait_for", None)

    def test_output_of_many_calls_in_batches_is_complete_and_in_order(self, harness: Harness) -> None:
        harness.outcomes(harness.calls(tasks.talk, range(40)), batch_size=10)
        for item in range(40):
            texts = [o.text for o in harness.outputs if o.item == item and o.level in ("info", "warning")]
            assert texts == [f"printed {item}", f"logged {item}", f"UserWarning: warned {item}", "two", f"lines {item}"]

    # --- time limits and dead workers

    def test_a_call_past_its_time_limit_fails_and_the_next_one_is_executed(self, harness: Harness, folder: str) -> None:
        (late,) = harness.outcomes([harness.call(tasks.hang, -1, folder=folder)])
        assert late.result is None
        assert "time limit of 0.5 s" in late.error
        (next_one,) = harness.outcomes([harness.call(tasks.hang, 4, folder=folder)])
        assert harness.value(next_one) == 16

    def test_of_a_batch_only_the_call_past_its_time_limit_fails(self, harness: Harness, folder: str) -> None:
        outcomes = harness.outcomes(harness.calls(tasks.hang, [0, 1, -1, 3, 4], folder=folder))
        late = outcomes.pop(2)
        assert "time limit of 0.5 s" in late.error
        assert [harness.value(outcome) for outcome in outcomes] == [0, 1, 9, 16]

    def test_a_call_that_kills_its_worker_fails_and_the_others_are_executed(
        self, harness: Harness, folder: str
    ) -> None:
        if not self.has_workers:
            pytest.skip("the call would kill this process")
        outcomes = harness.outcomes(harness.calls(tasks.kill_worker, [0, 1, -1, 3, 4, 5, 6, 7], folder=folder))
        killed = outcomes.pop(2)
        assert killed.result is None
        assert killed.error
        assert [harness.value(outcome) for outcome in outcomes] == [0, 1, 9, 16, 25, 36, 49]

    # --- secrets

    def test_no_secret_is_in_what_is_stored_and_calls_get_it_all_the_same(self, harness: Harness, results: str) -> None:
        stored = StoredArgument(harness.store.put({"url": f"https://x?key={SECRET}"}), (("item", "url"),))
        short, long = harness.outcomes(
            [harness.call(tasks.repeat, stored, 1), harness.call(tasks.repeat, stored, 500)._replace(item=1)],
            batch_size=1,
        )
        assert harness.value(short) == f"https://x?key={SECRET}"
        assert harness.value(long) == f"https://x?key={SECRET}" * 500
        assert short.result is not None
        assert short.result.data is not None
        assert SECRET.encode() not in short.result.data
        if "://" not in results:
            files = [file for file in Path(results).rglob("*") if file.is_file()]
            assert files
            assert not any(SECRET.encode() in file.read_bytes() for file in files)

    # --- closing

    def test_closing_twice_does_nothing_and_another_executor_works_after_it(
        self, harness: Harness, open_executor: OpenExecutor, results: str
    ) -> None:
        harness.executor.close()
        harness.executor.close()
        other = Harness(open_executor, ResultStore(results), self.deadline_s)
        try:
            assert [other.value(o) for o in other.outcomes(other.calls(tasks.square, range(3)))] == [0, 1, 4]
        finally:
            other.executor.close()

    def test_closing_drops_calls_that_have_not_begun_and_waits_for_none(self, harness: Harness, folder: str) -> None:
        blocked = harness.executor.slots if self.has_workers else 0
        for number in range(blocked):
            harness.submit([harness.call(tasks.wait_for, f"gate{number}", folder=folder)])
        harness.wait_for_notes(folder, *(f"+gate{number}" for number in range(blocked)))
        harness.submit(harness.calls(tasks.square, [111], folder=folder))
        began = time.monotonic()
        harness.executor.close()
        assert time.monotonic() - began < tasks.GIVE_UP_S / 2, "close waited for calls that run"
        for number in range(blocked):
            (Path(folder) / f"gate{number}").touch()
        assert "111" not in tasks.notes(folder)

    # --- with the engine

    def test_the_engine_runs_a_graph_through_it(self, open_executor: OpenExecutor, results: str, folder: str) -> None:
        squares = Node("squares", tasks.square, (range(20),), {}, mapped=True)
        again = Node("again", tasks.fail_once, (Ref("squares"),), {"folder": folder}, mapped=True)
        graph = Graph("test", (squares, again, Node("total", tasks.total, (Ref("again"),), {})), Ref("total"))
        events: list[Event] = []
        store, stop, me = ResultStore(results), Stop(), Process.this()
        row = RunRow(
            "run", "test", "test", "", "", (), "", "/", "running", time.time(), None, None, "", me.host, me.pid, me.started,
            (), {},
        )  # fmt: skip
        with Journal.open(Path(folder) / "state") as journal:
            journal.start_run(row)
            engine = Engine("run", journal=journal, store=store, emit=events.append, stop=stop)
            result = engine.execute(graph, open_executor(engine.on_output))
        assert result.value is not None, result
        assert store.get(result.value) == sum(x**4 for x in range(20))
        assert (result.executed, result.failed) == (41, 0)
        assert sum(isinstance(event, CallRetried) for event in events) == 20
        assert sum(isinstance(event, CallDone) for event in events) == 41
