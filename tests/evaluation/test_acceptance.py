"""Whether a score is good enough: the bar itself is, and an unknown score is an error."""

from __future__ import annotations

import pytest

from swath.errors import UsageError
from swath.evaluation.acceptance import meets_score


def test_a_score_passes_from_the_bar_on() -> None:
    numbers = {"mean IoU": 0.8, "kappa": 0.6}
    assert meets_score(numbers, "mean IoU", 0.8)
    assert not meets_score(numbers, "kappa", 0.61)


def test_a_score_that_evaluate_does_not_give_is_an_error_that_names_the_others() -> None:
    with pytest.raises(UsageError, match="there is no number 'IoU ice'") as caught:
        meets_score({"mean IoU": 0.8, "kappa": 0.6}, "IoU ice", 0.5)
    assert caught.value.remedy == "There are mean IoU, kappa."
