from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"), (0.04, "0.0 s"), (9.99, "10.0 s"), (12, "12 s"), (62, "1m 02s"), (3700, "1h 01m"), (100_000, "1d 03h"),
        (float("inf"), "?"), (float("nan"), "?"),
    ],
)  # fmt: skip
def test_a_duration_has_one_or_two_units(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"), (3.2e-6, "3.2 us"), (0.02, "20 ms"), (1.5, "1.5 s"), (59.94, "59.9 s"), (59.96, "1m 00s"), (90, "1m 30s"),
        (120, "2m 00s"), (5400, "1h 30m"),
    ],
)  # fmt: skip
def test_a_fine_duration_has_three_digits_down_to_microseconds(seconds: float, text: str) -> None:
    assert units.fine_duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (3e12, "3.0 TB")])
def test_bytes_are_in_decimal_units(count: float, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("100", 100), ("10GB", 10**10), ("500 mb", 5 * 10**8), ("1.5TiB", 3 * 2**39), ("2k", 2000), (" 7B ", 7)],
)
def test_a_size_is_read_with_decimal_and_binary_units(text: str, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "big", "-1", "10XB", "1 0 x", "GB"])
def test_what_is_no_size_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)


@given(st.integers(0, 10**12))
def test_a_size_as_written_is_read_again_to_its_digits(count: int) -> None:
    assert units.parse_size(units.size(count)) == pytest.approx(count, rel=0.06)


def test_numbers_keep_the_digits_that_count() -> None:
    assert [units.number(value) for value in (1234567, 1234.5678, 0.000123456)] == ["1,234,567", "1,235", "0.0001235"]
    assert [units.significant(value) for value in (340.4, 2.14, 0.254)] == ["340", "2.1", "0.25"]
    assert [units.rounded(value) for value in (0, 1234.0, 0.0012345)] == [0.0, 1234.0, 0.00123]
    assert units.percent(0.421) == "42 %"


def test_rates_are_per_second_or_per_minute() -> None:
    assert [units.rate(each) for each in (25, 0.1, 0.05)] == ["25.0/s", "0.10/s", "3.0/min"]
    assert units.megapixels(1.34e6) == "1.3 Mpx/s"
    assert [units.ground(each) for each in (177.4211, 0.00012)] == ["639,000 km2/h", "0.43 km2/h"]


def test_times_say_whether_they_are_local_or_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert units.clock(0) == "02:00:00"
        assert units.local_time(0) == "1970-01-01 02:00"
        assert units.utc_time(0) == "1970-01-01 00:00:00 UTC"
    finally:
        monkeypatch.undo()
        time.tzset()
