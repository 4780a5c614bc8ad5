from __future__ import annotations

from swath.cli.render.columns import table


def test_columns_are_as_wide_as_their_longest_cell_and_numbers_right_aligned() -> None:
    assert table(("NAME", "N"), [("字字字", "1"), ("b", "1,000")], right=(1,)) == [
        "NAME        N",
        "字字字      1",
        "b       1,000",
    ]
