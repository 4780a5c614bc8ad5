from __future__ import annotations

import pickle

import pytest

from swath.engine.call import BatchResult, CallOutcome, CallOutput, failed_outcome
from swath.engine.stored_result import StoredResult
from swath.errors import StateError, TaskFailed

OUTCOMES = [
    CallOutcome(0.5, 0.25, StoredResult("digest", 3, b"abc")),
    CallOutcome(1.5, None, None, "wrong", "trace", False, 6),
]


@pytest.mark.parametrize("outcomes", [[], OUTCOMES[:1], OUTCOMES], ids=["none", "one", "two"])
def test_a_batch_result_comes_back_from_its_pickle_with_all_fields(outcomes: list[CallOutcome]) -> None:
    output = CallOutput("node", 3, 1, 5.0, "info", "a line")
    result = BatchResult(7, "worker-0", outcomes, 2**20, (output,), "lost")
    found = pickle.loads(pickle.dumps(result))
    assert found == result
    assert all(isinstance(outcome, CallOutcome) for outcome in found.outcomes)
    assert all(isinstance(outcome.result, StoredResult | None) for outcome in found.outcomes)


def test_a_failed_outcome_has_the_error_in_a_line_and_says_whether_a_retry_can_mend_it() -> None:
    plain = failed_outcome(OSError("no answer"), 1.0)
    assert (plain.error, plain.retryable, plain.exit_code) == ("OSError: no answer", True, 1)
    assert not failed_outcome(TypeError("no number"), 1.0).retryable
    full = failed_outcome(StateError("the disk is full"), 1.0)
    assert (full.error, full.exit_code) == ("the disk is full", StateError.exit_code)
    assert failed_outcome(TaskFailed("no"), 1.0).retryable == TaskFailed.retryable
