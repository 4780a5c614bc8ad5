from __future__ import annotations

import json

from swath.cli.render.terminal_text import printable, shortened, width


def test_control_characters_are_escaped_but_for_line_ends_and_tabs() -> None:
    assert printable("a\x1b[2J\tb\n\x07c\rd\r\n") == "a\\x1b[2J\tb\n\\x07c\\x0dd\r\n"


def test_characters_that_turn_text_around_are_escaped_and_letters_of_all_scripts_stay() -> None:
    assert printable("\u202efit.\u2066\x9b") == "\\u202efit.\\u2066\\u009b"
    for text in ("字", "e\u0301", "שלום", "علی\u200cرضا", "a\xa0b", "👩\u200d🚀"):
        assert printable(text) == text


def test_json_keeps_its_values() -> None:
    value = {"a\x1b\x9b": "\u202e\U000e0041\x7f\n"}
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


def test_lines_without_an_end_are_shortened() -> None:
    assert shortened("a\n" * 5000) == "a\n" * 5000
    assert shortened("short\n" + "x" * 70_000) == "short\n" + "x" * 4000 + "... (70,000 characters)"


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert [width(text) for text in ("abc", "字", "e\u0301")] == [3, 2, 1]
