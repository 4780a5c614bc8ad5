from __future__ import annotations

import pytest

from swath.server.pages.visible_text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\r\nand more\rend", "plain\ttext\nand more\nend"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link", "link"),
        ("a\x00b\x08", "a[U+0000]b[U+0008]"),
        ("invoice\u202efdp.exe", "invoice[U+202E]fdp.exe"),
        ("a\u200bb\u2066c", "a[U+200B]b[U+2066]c"),
        ("\x1b", "[U+001B]"),
        ("<b>", "<b>"),
    ],
)
def test_what_nobody_would_see_is_shown_and_terminals_are_not_steered(text: str, shown: str) -> None:
    assert visible(text) == shown
