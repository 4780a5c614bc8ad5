"""The error map: label and prediction come back from its values, and its legend names every pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from swath.evaluation.error_map import MAX_CLASSES, NODATA, decode_errors, encode_errors, error_legend
from swath.maps.legend import MapClass
from swath.spec.fields.labels import IGNORE_INDEX

CLASSES = st.sampled_from([*range(MAX_CLASSES), IGNORE_INDEX])


@given(arrays(np.uint8, (5, 7), elements=CLASSES), arrays(np.uint8, (5, 7), elements=CLASSES))
def test_labels_and_predictions_come_back_where_both_are_known(
    labels: NDArray[np.uint8], predicted: NDArray[np.uint8]
) -> None:
    values = encode_errors(labels, predicted, MAX_CLASSES)
    known = (labels != IGNORE_INDEX) & (predicted != IGNORE_INDEX)
    assert ((values != NODATA) == known).all()
    again = decode_errors(values, MAX_CLASSES)
    for found, expected in zip(again, (labels, predicted), strict=True):
        assert (found[known] == expected[known]).all()
        assert (found[~known] == IGNORE_INDEX).all()


def test_the_legend_has_a_value_name_and_colour_of_its_own_for_each_pair() -> None:
    classes = tuple(MapClass(n, f"class {n}", (40 * n, 200 - 40 * n, 90)) for n in range(3))
    legend = error_legend(classes)
    assert [each.value for each in legend] == list(range(9))
    assert [each.name for each in legend[:2]] == ["class 0: right", "class 0, called class 1"]
    assert len({each.name for each in legend}) == 9
    correct = [each for each in legend if each.name.endswith(": right")]
    assert all(sum(each.color) > sum(classes[number].color) for number, each in enumerate(correct))
