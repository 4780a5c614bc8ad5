"""Agreement of a reduced precision with float32."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from swath.geo import Window
from swath.models.contract import Contract, ModelClass, ModelInfo
from swath.models.info import inspect
from swath.models.load import load_model
from swath.models.precision import Agreement, agreement, compare
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef
from tests.models.tiny_models import export, tiny_contract

CLASSES = tuple(ModelClass(n, str(n), (0, 0, 0)) for n in range(2))
INFO = ModelInfo("m.pt2", "pt2", "0", Contract("m", ("red",), "classes", CLASSES), None, 0, 1, True)
WHOLE = Window(0, 0, 64, 64)


def ref(folder: Path, **more: str) -> ModelRef:
    torch.manual_seed(2)
    (folder / "unet.json").write_text(json.dumps(tiny_contract("unet", ["red", "green", "blue"], 2)))
    path = export(UNet(3, 2, width=8, depth=1), 3, folder / "unet.pt2", multiple=2)
    return ModelRef.model_validate({"path": str(path), **more})


def test_bfloat16_is_chosen_and_its_agreement_is_measured(tmp_path: Path) -> None:
    plain = inspect(ref(tmp_path))
    assert (plain.precision, plain.device) == ("float32", "cpu")
    reduced = dataclasses.replace(plain, precision="bfloat16")
    pixels = np.random.default_rng(0).standard_normal((3, 64, 64), dtype=np.float32)
    valid = np.ones((64, 64), np.bool_)
    valid[:8] = False
    assert load_model(reduced) is not load_model(plain)
    assert agreement(plain, pixels, valid, WHOLE, WHOLE) == Agreement(56 * 64, 56 * 64, 0.0)
    found = agreement(reduced, pixels, valid, WHOLE, WHOLE)
    assert found.pixels == 56 * 64
    assert 0.9 < found.share <= 1
    assert 0 < found.largest < 0.1


def test_nan_and_invalid_pixels_are_not_compared() -> None:
    one = np.zeros((2, 2, 2), np.float32)
    other = one.copy()
    other[1] = np.array([[1, 0], [np.nan, 0]])
    found = compare(one, other, np.array([[True, True], [True, False]]), INFO)
    assert found == Agreement(2, 1, 1.0)
    assert np.isnan(compare(one, other, np.zeros((2, 2), np.bool_), INFO).share)
    assert found + Agreement(2, 2, 0.5) == Agreement(4, 3, 1.0)


def test_of_one_channel_the_side_of_the_threshold_is_compared() -> None:
    info = dataclasses.replace(INFO, contract=dataclasses.replace(INFO.contract, threshold=0.5))
    one, other = np.array([[[0.4, 0.6]]], np.float32), np.array([[[0.45, 0.49]]], np.float32)
    assert compare(one, other, np.ones((1, 2), np.bool_), info).same == 1
