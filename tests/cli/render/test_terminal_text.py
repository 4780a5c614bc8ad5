from __future__ import annotations

from swath.cli.render.terminal_text import printable, width


def test_control_characters_are_replaced_but_for_line_ends_and_tabs() -> None:
    assert printable("a\x1b[2J\tb\n") == "a\N{REPLACEMENT CHARACTER}[2J\tb\n"


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert [width(text) for text in ("abc", "字", "e\u0301")] == [3, 2, 1]
