"""Layers that depend on the whole image are named; a layer norm only where there is no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from swath.models.exported_archive import read_program
from swath.models.global_layers import find_global_layers
from tests.models.tiny_models import export

LAYERS = [
    (nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), ()),
    (nn.Sequential(nn.GroupNorm(2, 4), nn.LayerNorm(8)), ("group norm",)),
    (nn.LayerNorm(8), ("layer norm",)),
    (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(4)), ("instance norm", "pooling over the whole image")),
]


@pytest.mark.parametrize(("network", "expected"), LAYERS)
def test_the_layers_of_a_module_are_named(network: nn.Module, expected: tuple[str, ...]) -> None:
    assert find_global_layers(network) == expected


def test_the_layers_of_an_exported_program_are_named(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4))
    program = read_program(str(export(network, 2, tmp_path / "network.pt2")))
    assert find_global_layers(program) == ("group norm",)
