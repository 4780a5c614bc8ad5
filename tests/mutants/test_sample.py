"""Which mutations are tried, which tests are run on each, and what a sample says of all."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import pytest

from tests.mutants.sample import CoverageMap, interval, shuffled, statement_lines, summary

SOURCE = """LIMIT = 3

def first(a):
    if (a and
            a > 1):
        return call(
            a, 2)
    for each in a:
        print(each)

@decorated
def second():
    return 1
"""


@dataclass(frozen=True)
class At:
    module: str
    line: int
    column: int = 0


def test_a_seed_gives_the_same_order_and_each_place_once() -> None:
    every = [At("a.py", line) for line in range(50)] * 2
    first, second = list(shuffled(every, 1)), list(shuffled(every, 1))
    assert first == second
    assert sorted(first, key=lambda each: each.line) == every[:50]
    assert list(shuffled(every, 2)) != first


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (1, None),
        (3, None),
        (4, [4, 5]),
        (5, [4, 5]),
        (6, [6, 7]),
        (7, [6, 7]),
        (8, [8]),
        (9, [9]),
        (12, None),
        (13, [13]),
    ],
)
def test_lines_of_a_statement_are_those_of_its_header_and_none_at_import(line: int, expected: list[int] | None) -> None:
    found = statement_lines(ast.parse(SOURCE), line)
    assert (None if found is None else list(found)) == expected


def test_own_tests_come_first_then_fast_ones_and_only_those_of_the_line() -> None:
    known = CoverageMap()
    seconds = {"tests/maps/test_a.py::own": 5.0, "tests/maps/test_b.py::slow": 3.0, "tests/maps/test_b.py::fast": 1.0}
    known.add({"swath/maps/a.py": {"9": list(seconds), "8": ["tests/maps/test_b.py::slow"]}}, seconds)

    def chosen(line: int, most_s: float = 100.0, most: int = 9) -> list[str]:
        return [
            test.partition("::")[2]
            for test in known.tests_of(SOURCE, "swath/maps/a.py", line, most_s=most_s, most=most)
        ]

    assert chosen(9) == ["own", "fast", "slow"]
    assert chosen(8) == ["slow"]
    assert chosen(1) == ["own", "fast", "slow"]  # runs at import
    assert chosen(13) == ["own"]  # no test runs it: those of its own test file
    assert chosen(9, most_s=6.5) == ["own", "fast"]
    assert chosen(9, most_s=1.0) == ["own"]  # at least one
    assert chosen(9, most=2) == ["own", "fast"]
    known.forget(["tests/maps/test_b.py"])
    assert chosen(9) == ["own"]


def test_interval_of_a_share() -> None:
    low, high = interval(90, 100)
    assert (round(low, 3), round(high, 3)) == (0.826, 0.945)
    assert interval(0, 0) == (0.0, 1.0)


def test_equivalents_are_left_out_of_the_share_and_time_limits_are_found() -> None:
    row = summary("maps", 7, 1234, ["found", "timeout", "equivalent", "survived", "found"])
    assert row == "| maps | 1,234 | 5 | 7 | 3 | 1 | 1 | 75 % (30 to 95) |"
