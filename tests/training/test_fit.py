"""A training, put together: what the network gets is what predict would give it, and what is told of it is a contract."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from swath.models.contract_file import parse_contract
from swath.models.network_input import prepare
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.chips.band_statistics import BandMoments
from swath.training.chips.chips import ChipBatch
from swath.training.fit import network_batch
from swath.training.loop.epochs import Epoch
from swath.training.loop.export import ExportedNetwork
from swath.training.model_card import render_card
from swath.training.model_contract import contract_document
from swath.training.model_record import ModelRecord, TrainingImage
from tests.training.example import CLASSES, settings

BEST = Epoch(2, 6, 0.5, 0.001, 3.0, 0.6, ((80, 10), (5, 105)), (80 / 95, 105 / 120), 0.86, 0.925)


def record() -> ModelRecord:
    moments = BandMoments.of(np.random.default_rng(1).normal(50, 9, (3, 400)).astype(np.float32))
    statistics = [{"mean": m, "stddev": 9.0, "minimum": 1.0, "maximum": 99.0} for m in moments.mean.tolist()]
    return ModelRecord(
        name="water", bands=("green", "red", "nir"), units="dn", scaling=moments.value_scaling(),
        statistics=tuple(statistics), colors=("E6DFC8", "2B7BBA"), resolution_m=30.0, settings=settings(),
        split={"split": {"by": "columns"}, "seed": 1}, sampling={"chip": 32, "batch": 4},
        pixels={"train": (900, 100), "validation": (90, 110), "test": (0, 0)},
        sources=(TrainingImage("scene <1>", None, "weak labels by the rule a > b", (10.0, 50.0, 11.0, 51.0)),), licence="CC0-1.0",
        history=(dataclasses.replace(BEST, number=1), BEST), best=BEST, exported=ExportedNetwork(1234, 2, "ab" * 32, False),
        seconds=12.0, data_wait=0.01, software={"torch": "2.13.0+cpu"}, git="c0ffee",
    )  # fmt: skip


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


def test_a_band_of_one_value_is_shifted_and_not_divided_by_nothing() -> None:
    (scaling,) = BandMoments.of(np.full((1, 50), 7.0)).value_scaling()
    assert scaling == {"type": "z-score", "mean": 7.0, "stddev": 1.0}


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
    assert training["scenes"] == [{"id": "scene <1>", "datetime": None, "bbox": [10.0, 50.0, 11.0, 51.0]}]
    assert document["mlm:hyperparameters"]["steps"] == 6


def test_the_card_says_how_well_it_does_and_escapes_what_came_from_outside() -> None:
    page = render_card(record(), b"png")
    assert "<b>0.860</b>" in page
    assert "scene &lt;1&gt;" in page
    assert "CC0-1.0" in page
    without = dataclasses.replace(record(), best=Epoch(2, 6, 0.5, 0.001, 3.0))
    assert "There was no validation split" in render_card(without, b"png")


def test_a_run_tells_numbers_that_a_table_can_compare() -> None:
    assert record().numbers() == {
        "mean IoU": 0.86, "IoU land": 0.8421, "IoU water": 0.875, "loss": 0.5, "epoch": 2, "model": "ab" * 6,
    }  # fmt: skip
