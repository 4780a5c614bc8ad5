from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.cli import parse_amounts
from swath.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5 h", 5400),
        ("30d", 2592000),
        ("2W", 1209600),
    ],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert parse_amounts.seconds(text, "--timeout") == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-5", "5x", "h", "1h30", "1e3", "2h!", "nan", "inf"])
def test_what_is_no_duration_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        parse_amounts.seconds(text, "--timeout")


def test_no_time_is_a_duration_where_the_option_allows_it() -> None:
    assert parse_amounts.seconds("0d", "--older-than", zero=True) == 0
    with pytest.raises(UsageError, match="--timeout '0d' is no time at all"):
        parse_amounts.seconds("0d", "--timeout")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("100", 100), ("10GB", 10**10), ("500 mb", 5 * 10**8), ("1.5TiB", 3 * 2**39), ("2k", 2000), ("7B", 7)],
)
def test_a_size_has_a_unit_or_is_in_bytes(text: str, size: int) -> None:
    assert parse_amounts.size(text, "--max-size") == size


@pytest.mark.parametrize("text", ["", "big", "-1", "10XB", "1 0 x", "GB"])
def test_what_is_no_size_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--max-size"):
        parse_amounts.size(text, "--max-size")


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_a_usage_error(text: str) -> None:
    for read in (parse_amounts.seconds, parse_amounts.size):
        try:
            assert read(text, "--x") >= 0
        except UsageError:
            continue
