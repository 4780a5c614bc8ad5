"""Exported files give what the network gives, at any size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from swath.errors import ModelError
from swath.models.contract import Weights
from swath.models.exported_archive import read_program
from swath.models.load import load_model, weights_sha256
from swath.spec.fields.network import Network
from swath.training.loop.export import export_network
from swath.training.loop.networks import build_network, encode_weights
from tests.process import ROOT


@pytest.mark.parametrize("onnx", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_that_is_written_takes_any_count_and_size_and_is_a_plain_list_of_calls(
    tmp_path: Path, onnx: bool
) -> None:
    network = Network(width=4, depth=2)
    weights = encode_weights(build_network(network, 3, 2, seed=4))
    told = export_network(network, 3, 2, weights, tmp_path, "water", onnx=onnx)
    assert (told.stride, told.sha256) == (4, hashlib.sha256(weights).hexdigest())
    assert (tmp_path / "water.safetensors").read_bytes() == weights
    assert read_program(str(tmp_path / "water.pt2")) is not None
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".pt2", ".safetensors", *[".onnx"] * onnx])
    form = "onnx" if onnx else "pt2"
    path = str(tmp_path / f"water.{form}")
    run = load_model(Weights(path, form, weights_sha256(path), None, 3))
    for shape in ((1, 3, 8, 12), (3, 3, 36, 20)):
        assert run(np.zeros(shape, np.float32)).shape == (shape[0], 2, *shape[2:])
    assert b"/loop/" not in Path(path).read_bytes()


@pytest.mark.slow
def test_a_network_of_segmentation_models_is_written_too(tmp_path: Path) -> None:
    options = {"encoder_name": "resnet18", "decoder_channels": [16, 8, 8, 4, 4]}
    network = Network(name="smp:Unet", options=options)
    told = export_network(network, 4, 3, encode_weights(build_network(network, 4, 3, seed=1)), tmp_path, "model")
    assert told.stride == 32


def test_a_network_that_cannot_be_exported_is_an_error_that_names_it(tmp_path: Path) -> None:
    network = Network(name="tests.training.loop.test_export:fickle")
    with pytest.raises(ModelError, match=r"test_export:fickle: torch\.export"):
        export_network(network, 3, 2, encode_weights(fickle(3, 2)), tmp_path, "model")


def fickle(bands: int, classes: int):  # type: ignore[no-untyped-def]
    """A network that looks at its values to decide what to do."""
    import torch

    class Fickle(torch.nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) if float(images.mean()) >= 0 else super().forward(-images)

    return Fickle(bands, classes, 1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_network_is_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from swath.spec.fields.network import Network
from swath.training.loop.export import export_network
from swath.training.loop.networks import build_network, encode_weights
network = Network(width=4, depth=1)
export_network(network, 3, 2, encode_weights(build_network(network, 3, 2, seed=4)), Path(sys.argv[1]), "water")
"""
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed}
        words = [sys.executable, "-c", code, str(tmp_path / seed)]
        subprocess.run(words, env=environment, check=True, cwd=ROOT, timeout=140)
    for name in ("water.pt2", "water.safetensors"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_network_is_the_same_bytes_whatever_was_exported_before(tmp_path: Path) -> None:
    networks = {"small": Network(width=4, depth=1), "deep": Network(width=4, depth=2)}
    for folder, order in (("one", ("small", "deep")), ("other", ("deep", "small"))):
        (tmp_path / folder).mkdir()
        for name in order:
            weights = encode_weights(build_network(networks[name], 3, 2, seed=4))
            export_network(networks[name], 3, 2, weights, tmp_path / folder, name)
    for name in networks:
        assert (tmp_path / "one" / f"{name}.pt2").read_bytes() == (tmp_path / "other" / f"{name}.pt2").read_bytes(), (
            name
        )
