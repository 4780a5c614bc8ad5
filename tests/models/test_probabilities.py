"""Probabilities: true to the network's numbers, and never a number where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath.errors import ModelError
from swath.models.contract import Contract, ModelClass
from swath.models.probabilities import BYTE_NODATA, BYTE_SCALE, encode_probabilities, probability_bands
from swath.spec.fields.output import Probabilities

CLASSES = (ModelClass(3, "land", (0, 0, 0)), ModelClass(1, "water", (0, 0, 9)), ModelClass(2, "ice", (9, 9, 9)))
THREE = Contract("three", ("red",), "classes", CLASSES)
TWO = Contract("two", ("red",), "classes", CLASSES[:2], threshold=0.5)


def encoded(output: Any, contract: Contract = THREE, valid: Any = None, **choice: Any) -> np.ndarray:
    numbers = np.asarray(output, dtype=np.float32)
    usable = np.ones(numbers.shape[1:], dtype=bool) if valid is None else valid
    return encode_probabilities(numbers, usable, contract, probability_bands(contract, Probabilities(**choice)))


def test_softmax_is_not_applied_to_what_the_network_has_made_of_it() -> None:
    given = np.array([[[0.7]], [[0.2]], [[0.1]]], np.float32)
    assert probability_bands(THREE, Probabilities(), applied=True).activation == "none"
    assert probability_bands(THREE, Probabilities(activation="softmax"), applied=True).activation == "softmax"
    assert probability_bands(THREE, Probabilities()).activation == "softmax"
    layers = probability_bands(THREE, Probabilities(dtype="float32"), applied=True)
    np.testing.assert_array_equal(encode_probabilities(given, np.ones((1, 1), bool), THREE, layers), given)


finite = st.floats(-(2.0**99), 2.0**99, width=32)


@settings(deadline=None)
@given(arrays.arrays(np.float32, (3, 2, 3), elements=finite))
def test_bytes_are_the_softmax_to_half_a_step_and_none_is_nodata(logits: np.ndarray) -> None:
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=0))
    expected = powers / powers.sum(axis=0)
    got = encoded(logits)
    assert got.dtype == np.uint8
    assert got.max() <= BYTE_SCALE
    assert np.abs(got / BYTE_SCALE - expected).max() <= 0.5 / BYTE_SCALE + 1e-6


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, (3, 2, 2), elements=st.floats(width=32)), st.sampled_from(["uint8", "float16", "float32"])
)
def test_whatever_the_network_gives_nan_is_nodata_in_all_bands(logits: np.ndarray, dtype: Any) -> None:
    got = encoded(logits, dtype=dtype)
    unknown = got == BYTE_NODATA if dtype == "uint8" else np.isnan(got)
    assert (unknown.all(axis=0) == unknown.any(axis=0)).all()
    assert unknown[:, np.isnan(logits).any(axis=0)].all()
    assert not unknown[:, np.isfinite(logits).all(axis=0)].any()
    numbers = got[~unknown].astype(float)
    assert ((numbers >= 0) & (numbers <= (BYTE_SCALE if dtype == "uint8" else 1))).all()


def test_no_probability_is_so_small_that_the_processor_s_mode_decides_of_it() -> None:
    logits = np.zeros((3, 1, 4), np.float32)
    logits[1] = [[86, 88, 95, 103]]  # exp(-88) and less is below the smallest normal number
    low = encoded(logits, dtype="float32")[0, 0]
    assert low[0] > 0
    assert (low[1:] == 0).all()


def test_pixels_that_are_not_valid_are_nodata() -> None:
    got = encoded(np.zeros((3, 1, 2)), valid=np.array([[True, False]]))
    assert got[:, 0].tolist() == [[83, 255]] * 3


def test_bands_are_the_chosen_classes_in_the_contracts_order() -> None:
    layers = probability_bands(THREE, Probabilities(classes=("ice", "land")))
    assert (layers.names, layers.dtype, layers.nodata, layers.scale) == (("land", "ice"), "uint8", 255, 1 / 250)
    assert encoded([[[9]], [[0]], [[9]]], classes=("ice", "land")).ravel().tolist() == [125, 125]


def test_one_channel_is_the_second_class_and_what_is_left_the_first() -> None:
    assert encoded([[[0.2, 0.9]]], TWO).tolist() == [[[200, 25]], [[50, 225]]]
    assert encoded([[[0.2, np.nan]]], TWO, classes=("water",)).tolist() == [[[50, 255]]]
    assert encoded([[[0, -200, 200]]], TWO, activation="sigmoid", classes=("water",)).tolist() == [[[125, 0, 250]]]


def test_half_precision_is_a_half_and_its_nodata_is_nan() -> None:
    got = encoded([[[0.25, np.nan]]], TWO, dtype="float16")
    assert got.dtype == np.float16
    assert got[:, 0, 0].tolist() == [0.75, 0.25]
    assert np.isnan(got[:, 0, 1]).all()


def test_pieces_cut_anywhere_give_the_same_bytes() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (3, 40, 50)).astype(np.float32)
    whole = encoded(logits)
    pieces = [encoded(np.ascontiguousarray(logits[:, :, cut])) for cut in (slice(0, 13), slice(13, 50))]
    assert (np.concatenate(pieces, axis=2) == whole).all()


@pytest.mark.parametrize(
    ("contract", "choice", "message"),
    [
        (THREE, {"classes": ("sea",)}, "no class is called sea"),
        (Contract("v", ("red",), "values"), {}, "a model of values has no probabilities"),
        (TWO, {"activation": "softmax"}, "softmax over one channel is always 1"),
    ],
)
def test_what_a_model_does_not_have_is_said(contract: Contract, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        probability_bands(contract, Probabilities(**choice))


def test_numbers_that_are_no_probabilities_are_an_error_and_not_cut_to_fit() -> None:
    with pytest.raises(ModelError, match=r"gives 3\.5, which is not a probability"):
        encoded([[[0.2, 3.5]]], TWO)
    encoded([[[0.2, 3.5]]], TWO, valid=np.array([[True, False]]))
