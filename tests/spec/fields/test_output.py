"""What is written beside a map: short forms, and what cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from swath.spec.fields.output import Holes, Output, Probabilities, Tiles, Vectors


def output(**more: Any) -> Output:
    return Output.model_validate({"to": "out", **more})


def test_true_is_the_mapping_with_nothing_in_it_and_false_is_nothing() -> None:
    assert output(vectors=True) == output(vectors={}) == output()
    assert output().vectors == Vectors()
    assert output(vectors=False).vectors is None
    assert output(pmtiles=True, probabilities=True).pmtiles == Tiles()
    assert output(probabilities=True).probabilities == Probabilities()
    assert (output().pmtiles, output().probabilities) == (None, None)


def test_vectors_take_metres_pixels_and_areas() -> None:
    assert output(vectors={"simplify": 12}).vectors == Vectors(simplify=12.0)
    assert output(vectors={"simplify": "1.5px"}).vectors == Vectors(simplify="1.5px")
    assert output(vectors={"holes": {"min_area": 90}}).vectors == Vectors(holes=Holes(min_area=90.0))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"background": ["land"]}, r"is part of vectors now: vectors: \{background: \[\.\.\.\]\}"),
        ({"vectors": {"simplify": "3 px"}}, "should match pattern"),
        ({"vectors": {"simplify": 0}}, "greater than 0"),
        ({"vectors": {"min_area": -1}}, "greater than or equal to 0"),
        ({"vectors": False, "pmtiles": True}, "pmtiles are made from vectors"),
        ({"pmtiles": {"min_zoom": 9, "max_zoom": 3}}, "min_zoom is larger than max_zoom"),
        ({"probabilities": {"dtype": "int16"}}, "'uint8', 'float16' or 'float32'"),
    ],
)
def test_what_cannot_be_is_said(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        output(**more)
