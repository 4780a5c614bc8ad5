"""The summary of an evaluation: scores that were counted are numbers, the others are left out or shown as a dash."""

from __future__ import annotations

import json

import numpy as np

from swath.evaluation.objects import ObjectScores
from swath.evaluation.summary import summarise


def test_a_class_without_pixels_has_no_score_and_no_number() -> None:
    blocks = np.array([[[8, 2, 0], [1, 9, 0], [0, 0, 0]]] * 10)
    summary = summarise(("land", "water", "ice"), blocks, draws=100, seed=1, unpredicted=3)
    assert summary.pixels == 200
    assert summary.support == (100, 100, 0)
    numbers = summary.numbers()
    assert numbers["IoU land"] == round(8 / 11, 4)
    assert numbers["overall accuracy"] == 0.85
    assert "IoU ice" not in numbers
    assert summary.by_class["iou"][2].value is None
    ice = summary.lines()[3]
    assert ice.split() == ["ice", "-", "-", "-", "-", "0"]


def test_the_json_has_the_matrix_and_null_for_objects_that_cannot_be_scored() -> None:
    objects = (ObjectScores("water", 4, 0, 0),)
    summary = summarise(("land", "water"), np.ones((2, 2, 2), np.int64), draws=100, seed=1, objects=objects)
    document = json.loads(json.dumps(summary.plain()))
    assert document["confusion_matrix"]["pixels"] == [[2, 2], [2, 2]]
    assert document["objects"]["water"]["precision"] is None
    assert document["objects"]["water"]["recall"] == 0
    assert document["overall"]["accuracy"] == {"value": 0.5, "interval": None}


def test_numbers_of_objects_have_four_digits() -> None:
    objects = (ObjectScores("water", labelled=6, predicted=3, matched=2),)
    numbers = summarise(("land", "water"), np.ones((2, 2, 2), np.int64), draws=100, seed=1, objects=objects).numbers()
    assert (numbers["water objects: precision"], numbers["water objects: recall"]) == (0.6667, 0.3333)
