"""A training and a prediction give the network the same numbers."""

from __future__ import annotations

import json

import numpy as np

from swath.models.contract_file import parse_contract
from swath.models.network_input import prepare
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.chips.chips import ChipBatch
from swath.training.fit import network_batch
from swath.training.model_contract import contract_document
from tests.training.example import record


def test_the_network_sees_in_training_exactly_what_it_will_see_in_a_map() -> None:
    found = record()
    known = parse_contract(json.loads(json.dumps(contract_document(found))))
    random = np.random.default_rng(4)
    pixels = random.integers(0, 100, (1, 3, 13, 18)).astype(np.float32)
    valid = random.random((1, 13, 18)) < 0.9
    labels = random.integers(0, 2, (1, 13, 18)).astype(np.uint8)
    seen = network_batch(ChipBatch(pixels, labels, valid), found.scaling, stride=4)
    assert np.array_equal(seen.pixels, prepare(pixels, valid, known.scaling, 4))
    assert (seen.labels[0, :13, :18][~valid[0]] == IGNORE_INDEX).all()
    assert (seen.labels[0, 13:] == IGNORE_INDEX).all()
    assert np.array_equal(seen.labels[0, :13, :18][valid[0]], labels[0][valid[0]])
