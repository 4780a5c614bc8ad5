"""The suite of executors finds what is wrong, and the executor of the documentation passes it.

Those of swath run it in tests/engine/executors.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swath.engine.call import BatchResult, CallBatch, CallOutput, OutputListener
from swath.engine.executors.inline import InlineExecutor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.testing.executor import SECRET, ExecutorTests, Harness
from tests.process import ROOT


def open_inline(on_output: OutputListener) -> InlineExecutor:
    return InlineExecutor(on_output, Stop())


class InlineTests(ExecutorTests):
    has_workers = False


class Reversed(InlineExecutor):
    """Outcomes are not in the order of the calls."""

    def wait(self, timeout_s: float) -> list[BatchResult]:
        return [result._replace(outcomes=result.outcomes[::-1]) for result in super().wait(timeout_s)]


class Forgetful(InlineExecutor):
    """A single call has no outcome, and is not lost either."""

    def wait(self, timeout_s: float) -> list[BatchResult]:
        return [result._replace(outcomes=result.outcomes[1:]) for result in super().wait(timeout_s)]


class Twice(InlineExecutor):
    """Results are returned a second time."""

    def wait(self, timeout_s: float) -> list[BatchResult]:
        return 2 * super().wait(timeout_s)


class Spendthrift(InlineExecutor):
    """Budgets do not count."""

    def submit(self, batch: CallBatch) -> None:
        super().submit(batch._replace(budget_s=1e9))


class Retrying(InlineExecutor):
    """Calls that fail are executed again."""

    def wait(self, timeout_s: float) -> list[BatchResult]:
        batch = self._queue[0] if self._queue else None
        results = super().wait(timeout_s)
        if batch is not None and any(outcome.error for outcome in results[0].outcomes):
            super().submit(batch)
            return super().wait(timeout_s)
        return results


class Curt(InlineExecutor):
    """Errors have no traceback."""

    def wait(self, timeout_s: float) -> list[BatchResult]:
        results = super().wait(timeout_s)
        return [r._replace(outcomes=[outcome._replace(traceback="") for outcome in r.outcomes]) for r in results]


class Late(InlineExecutor):
    """Output comes after the result."""

    def __init__(self, on_output: OutputListener, stop: Stop) -> None:
        self._late: list[CallOutput] = []
        self._listener = on_output
        super().__init__(self._late.append, stop)

    def wait(self, timeout_s: float) -> list[BatchResult]:
        late = self._late[:]
        self._late.clear()
        results = super().wait(timeout_s)
        for output in late:
            self._listener(output)
        return results


class OnceOnly(InlineExecutor):
    """Cannot be closed twice."""

    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class Diligent(InlineExecutor):
    """Closing executes what was submitted."""

    def close(self) -> None:
        while self._queue:
            self.wait(0.0)


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (Reversed, "test_every_call_has_one_outcome_in_the_order_of_its_batch"),
        (Forgetful, "test_retries_are_left_to_the_engine"),
        (Twice, "test_every_call_has_one_outcome_in_the_order_of_its_batch"),
        (Spendthrift, "test_calls_beyond_the_budget_of_their_batch_come_back_unexecuted"),
        (Retrying, "test_retries_are_left_to_the_engine"),
        (Curt, "test_an_error_is_an_outcome_with_a_traceback_and_the_other_calls_are_executed"),
        (Late, "test_output_of_a_call_comes_in_order_and_before_its_result"),
        (OnceOnly, "test_closing_twice_does_nothing_and_another_executor_works_after_it"),
        (Diligent, "test_closing_drops_calls_that_have_not_begun_and_waits_for_none"),
    ],
)
def test_an_executor_that_is_wrong_in_one_thing_fails_the_test_of_that_thing(
    wrong: type[InlineExecutor], test: str, tmp_path: Path
) -> None:
    suite = InlineTests()
    given: dict[str, Any] = {
        "folder": str(tmp_path),
        "results": str(tmp_path / "results"),
        "open_executor": open_inline,
    }
    run = getattr(suite, test)
    for name, open_executor in (("right", open_inline), ("wrong", lambda on_output: wrong(on_output, Stop()))):
        folder = tmp_path / name
        folder.mkdir()
        store = ResultStore(str(folder / "results"), {SECRET: "TOKEN"})
        given |= {"harness": Harness(open_executor, store, 5.0), "folder": str(folder)}
        arguments = {parameter: given[parameter] for parameter in inspect.signature(run).parameters}
        if name == "right":
            run(**arguments)
        else:
            with pytest.raises((AssertionError, RuntimeError)):
                run(**arguments)


@pytest.mark.slow
def test_the_executor_of_the_documentation_passes_the_suite(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
    names = [name for name, _ in blocks if "executor" in name]
    assert names == ["process_executor.py", "test_process_executor.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", names[1]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = [name for name in dir(ExecutorTests) if name.startswith("test_")]
    assert f"{len(tests)} passed" in done.stdout
