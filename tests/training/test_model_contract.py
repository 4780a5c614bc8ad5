"""The contract of a trained model is one that predict reads."""

from __future__ import annotations

import json

from swath.models.contract_file import parse_contract
from swath.training.model_contract import contract_document
from tests.training.example import CLASSES, record


def test_the_contract_is_one_that_predict_reads_and_names_what_was_trained_on() -> None:
    document = json.loads(json.dumps(contract_document(record())))
    known = parse_contract(document)
    assert (known.name, known.bands, [each.name for each in known.classes]) == (
        "water",
        ("green", "red", "nir"),
        [*CLASSES],
    )
    assert document["swath:metrics"]["iou"] == {"land": 0.842105, "water": 0.875}
    training = document["swath:training"]
    assert (training["split"]["seed"], training["git_commit"]) == (1, "c0ffee")
    assert training["scenes"] == [
        {"id": "scene <1>", "datetime": None, "bbox": [10.0, 50.0, 11.0, 51.0], "geometry": None}
    ]
    assert document["mlm:hyperparameters"]["steps"] == 6
