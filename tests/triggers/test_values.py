"""Values that are put into a spec: typed, with dates, and never code or a way out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from swath.errors import UsageError
from swath.triggers.values import Known, NothingBefore, filled, reference_problem

KNOWN = Known(
    "weekly", "key-1", datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "Europe/Berlin",
    found={"day": "2026-02-28", "ids": ["a", "b"], "cloud": 12.5, "good": True},
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${trigger:due}", "2026-03-01T23:30:00Z"),
        ("${trigger:due-7d}/${trigger:due}", "2026-02-22T23:30:00Z/2026-03-01T23:30:00Z"),
        ("${trigger:day}", "2026-03-02"),
        ("${trigger:day-2d}", "2026-02-28"),
        ("${trigger:month-13mo}", "2025-02"),
        ("${trigger:month-1y}", "2025-03"),
        ("${trigger:year}", "2026"),
        ("out/${trigger:name}/${found:day}", "out/weekly/2026-02-28"),
        ("${found:ids}", ["a", "b"]),
        ("${found:cloud}", 12.5),
        ("cover ${found:cloud}, ${found:good}", "cover 12.5, true"),
        ({"a": ["${trigger:key}", 3]}, {"a": ["key-1", 3]}),
        ("${env:HOME}", "${env:HOME}"),
    ],
)
def test_references_are_replaced_with_their_type(value: Any, expected: Any) -> None:
    assert filled({"x": value}, KNOWN) == {"x": expected}


@pytest.mark.parametrize(
    "found",
    ["${env:AWS_SECRET_ACCESS_KEY}", "../../etc", "a/../b", "a\nb", "\x1b[2J", "x" * 3000, {"a": 1}, [{"a": 1}], ["${env:A}"]],
)  # fmt: skip
def test_what_was_found_elsewhere_names_no_secret_and_leads_out_of_no_folder(found: Any) -> None:
    with pytest.raises(UsageError):
        filled({"x": "${found:id}"}, Known("t", "k", KNOWN.due, found={"id": found}))


@pytest.mark.parametrize("template", ["$${found:a}", "${found:b}${found:a}", "${found:c}${found:c}/x"])
def test_two_harmless_values_make_no_harmful_one(template: str) -> None:
    known = Known("t", "k", KNOWN.due, found={"a": "{env:HOME}", "b": "$", "c": "."})
    with pytest.raises(UsageError, match="may not stand in a spec"):
        filled({"x": template}, known)


def test_a_value_of_the_previous_run_needs_one() -> None:
    with pytest.raises(NothingBefore):
        filled({"x": "${previous:day}"}, KNOWN)
    assert filled({"x": "${previous:day}"}, Known("t", "k", KNOWN.due, previous={"day": "2026-01-01"})) == {
        "x": "2026-01-01"
    }


@pytest.mark.parametrize("name", ["due-7", "day-3h", "due-1mo", "now", "key-1d", "", "due - 7d"])
def test_a_wrong_reference_is_told(name: str) -> None:
    assert reference_problem("trigger", name, frozenset())


def test_a_date_beyond_the_calendar_is_an_error() -> None:
    with pytest.raises(UsageError, match="no date"):
        filled({"x": "${trigger:year-9999y}"}, KNOWN)
