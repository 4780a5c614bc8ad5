from __future__ import annotations

from swath.events import CallRetried
from swath.reporting.failure_groups import GROUPS, FailureGroup, FailureGroups


def test_reasons_that_differ_in_numbers_only_are_one_group_and_final_failures_come_first() -> None:
    failures = FailureGroups()
    for item in range(5):
        failures(CallRetried(time=1, run="r", node="read", item=item, error=f"timed out: {item}", attempt=1, delay_s=1))
    for item in range(3):
        failures.add("read", item, f"block {item} is cut\nmore", final=True)
    assert failures.groups() == (
        (
            FailureGroup("read", 0, True, 3, "block 0 is cut\nmore"),
            FailureGroup("read", 0, False, 5, "timed out: 0"),
        ),
        0,
    )


def test_groups_are_bounded_and_further_failures_are_counted() -> None:
    failures = FailureGroups()
    for length in range(GROUPS + 7):
        failures.add("read", length, "x" * length, final=True)
    groups, more = failures.groups()
    assert (len(groups), more) == (GROUPS, 7)


def test_a_long_reason_is_cut() -> None:
    failures = FailureGroups()
    failures.add("read", None, "x" * 10_000, final=True)
    ((group,), _) = failures.groups()
    assert group.reason == "x" * 400
