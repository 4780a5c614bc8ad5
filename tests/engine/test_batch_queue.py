from __future__ import annotations

import pytest

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import Call, NodeContext
from swath.engine.store import ResultStore
from swath.testing import tasks

CALL = Call(NodeContext("run", "square", tasks.square, {}, ResultStore("memory://queue"), mapped=True), 0, "key", (1,))


def test_pending_calls_are_due_after_as_long_as_a_batch_takes() -> None:
    queue = BatchQueue(limit=None)
    assert not queue.due(10.0, batch_s=0.3)
    queue.pending.append(CALL)
    assert [queue.due(now, batch_s=0.3) for now in (20.0, 20.2, 20.4)] == [False, False, True]
    queue.pending.clear()
    assert not queue.due(30.0, batch_s=0.3)
    queue.pending.append(CALL)
    assert not queue.due(40.0, batch_s=0.3)


@pytest.mark.parametrize(
    ("limit", "in_flight", "pending", "busy", "full"),
    [(None, 99, 9, False, False), (2, 1, 0, False, False), (2, 1, 1, False, True), (2, 2, 0, True, True)],
)
def test_a_task_with_a_limit_is_busy_with_what_is_in_flight_and_full_with_what_is_pending(
    limit: int | None, in_flight: int, pending: int, busy: bool, full: bool
) -> None:
    queue = BatchQueue(limit, pending=[CALL] * pending, in_flight=in_flight)
    assert (queue.busy, queue.full) == (busy, full)


def test_calls_wait_while_every_slot_has_one_that_is_not_timed_yet() -> None:
    queue = BatchQueue(limit=None, in_flight=2)
    assert queue.must_wait(slots=2)
    assert not queue.must_wait(slots=3)
    queue.size.update(1, 0.5)
    assert not queue.must_wait(slots=2)
