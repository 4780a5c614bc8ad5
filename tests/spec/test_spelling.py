from __future__ import annotations

import pytest

from swath.spec.spelling import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "found"),
    [("predcit", "predict"), ("PREDICT", "predict"), ("predict", ""), ("zzz", ""), ("", "")],
    ids=["misspelled", "case", "right", "other", "empty"],
)
def test_the_most_similar_name_is_suggested_and_none_where_none_is_similar(word: str, found: str) -> None:
    assert nearest(word, ["train", "predict"]) == found
    assert did_you_mean(word, ["train", "predict"]) == (f" (did you mean {found!r}?)" if found else "")
