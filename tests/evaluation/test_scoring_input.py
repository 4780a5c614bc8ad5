"""What a model is scored on: numbers of scenes that mean different things are not mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import ImageryError
from swath.evaluation.scoring_input import MIN_BLOCK_EDGE, find_model_scoring
from swath.models.contract_file import parse_contract
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import ExpressionLabels, LabelledImagery, RasterLabels
from tests.imagery.sources.test_scene_units import raster
from tests.models.tiny_models import tiny_contract


def test_scenes_whose_numbers_mean_different_values_are_not_scored_together(tmp_path: Path) -> None:
    paths = tuple(str(raster(tmp_path / f"{n}.tif", 1000, 0.0001, -0.1 * n)) for n in range(2))
    contract = parse_contract(tiny_contract("m", ["red"], 2))
    labels = RasterLabels(path=str(raster(tmp_path / "labels.tif", 1)))  # an expression compares its bands itself

    def find(*paths: str) -> object:
        data = (LabelledImagery(imagery=FilesImagery(paths=paths), labels=labels),)
        return find_model_scoring(data, contract, None, None, None)

    with pytest.raises(ImageryError, match="stand for different physical values"):
        find(*paths)
    assert find(paths[0])


def test_the_numbers_of_classes_are_their_places_in_the_contract(tmp_path: Path) -> None:
    contract = parse_contract(tiny_contract("m", ["red"], 2))
    labels = ExpressionLabels(expression="red > 500", label="class-1", otherwise="class-0")
    path = str(raster(tmp_path / "a.tif", 1000))
    data = (LabelledImagery(imagery=FilesImagery(paths=(path,)), labels=labels),)
    found = find_model_scoring(data, contract, None, None, None)
    assert found.numbers == ((0, 0), (1, 1))
    assert [each.name for each in found.classes] == ["class-0", "class-1"]
    assert found.blocks == (MIN_BLOCK_EDGE,)
