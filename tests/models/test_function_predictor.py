"""Functions of the project as models: what they are given, what they may give, and that tiles of their maps have no seams."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from swath.errors import ModelError
from swath.geo import Window, source_window
from swath.imagery.sources.find import find
from swath.models.function_predictor import FunctionPredictor
from swath.models.infer import infer
from swath.models.info import check_weights, inspect, weights_of
from swath.models.load import load_model
from swath.models.network_axes import NetworkAxes
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.model import ModelRef
from tests.imagery.rasters import write
from tests.models.tiny_models import tiny_contract

CODE = """
import numpy as np

def box(block):
    padded = np.pad(block[0], 2, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean(axis=(2, 3))

def numbers(block):
    assert block.dtype == np.float32 and block.flags.c_contiguous
    block[0] += 1
    return (block[0] > 101).astype(np.uint8)

def scaled(block, path):
    return block * float(np.loadtxt(path))

def fails(block):
    return block[7]

def small(block):
    return block[:, 1:]

def strict(block):
    assert block.max() <= 1.5, "reflectance is needed"
    return block[0]

def leaves(block):
    raise SystemExit(3)

def words(block):
    return np.full(block.shape[1:], "water")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose module `rules` can be imported, by a name of its own in each test."""
    (tmp_path / "rules.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "rules", raising=False)
    return tmp_path


def ref(folder: Path, function: str, channels: int = 1, **more: Any) -> ModelRef:
    contract = tiny_contract("rules", ("red", "nir"), channels, output="values")
    (folder / "rules.json").write_text(json.dumps(contract))
    given = {"radius": 0, "contract": str(folder / "rules.json"), **more}
    return ModelRef(predictor=f"rules:{function}", **given)


def test_any_tiling_gives_what_numpy_gives_for_the_whole_image(project: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 4000, (2, 150, 170)).astype(np.uint16)
    write(project / "image.tif", pixels, names=("red", "nir"))
    image = find(FilesImagery(paths=(str(project / "image.tif"),)), ("red", "nir")).image
    info = inspect(ref(project, "box", radius=2))
    assert (info.radius, info.stride, info.exact, info.used_runtime) == (2, 1, True, "python")
    with rasterio.open(project / "image.tif") as file:
        padded = np.pad(file.read(1).astype(np.float32), 2, mode="edge")
    expected = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean(axis=(2, 3))
    for window in (Window(0, 0, 150, 170), Window(37, 41, 50, 64), Window(100, 0, 50, 31)):
        source = source_window(image, window, info.halo, info.stride)
        at = source.within(Window(0, 0, 150, 170))
        values, valid = infer(load_model(info), info, pixels[:, *at], np.ones(source.shape, np.bool_), source, window)
        assert valid.all()
        assert np.array_equal(values[0], expected[window.within(Window(0, 0, 150, 170))])


def test_class_numbers_are_exact_and_the_block_is_the_functions_own(project: Path) -> None:
    contract = tiny_contract("rules", ("red", "nir"), 2)
    order = ["batch", "height", "width"]
    contract["mlm:output"][0]["result"] = {"shape": [-1, -1, -1], "dim_order": order, "data_type": "uint8"}
    (project / "classes.json").write_text(json.dumps(contract))
    info = inspect(ref(project, "numbers", contract=str(project / "classes.json")))
    assert info.exact
    assert info.lattice is None
    pixels = np.arange(2 * 12 * 20, dtype=np.float32).reshape(2, 12, 20)
    whole = Window(0, 0, 12, 20)
    before = pixels.copy()
    values, _ = infer(load_model(info), info, pixels, np.ones((12, 20), np.bool_), whole, whole)
    assert np.array_equal(pixels, before)
    assert np.array_equal(values[0], pixels[0] > 100)


def test_the_file_is_given_and_counts(project: Path) -> None:
    (project / "factor.txt").write_text("2.5")
    wanted = ref(project, "scaled", 2, path=str(project / "factor.txt"))
    info = inspect(wanted)
    whole = Window(0, 0, 4, 5)
    pixels = np.arange(40, dtype=np.float32).reshape(2, 4, 5)
    values, _ = infer(load_model(info), info, pixels, np.ones((4, 5), np.bool_), whole, whole)
    assert np.array_equal(values, pixels * np.float32(2.5))
    (project / "factor.txt").write_text("3")
    assert weights_of(wanted).sha256 != info.sha256
    load_model.__globals__["_load"].cache_clear()
    with pytest.raises(ModelError, match="the weights have changed since the run began"):
        load_model(info)


def test_other_code_is_another_model(project: Path) -> None:
    before = weights_of(ref(project, "box"))
    assert before == weights_of(ref(project, "box"))
    (project / "rules.py").write_text(CODE.replace("mean", "max"))
    after = weights_of(ref(project, "box"))
    assert (after.code, after.sha256) != (before.code, before.sha256)
    with pytest.raises(ModelError, match="changed since the run began"):
        load_model(before)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fails", r"rules:fails: raised IndexError for a block of shape \(2, 49, 49\).*rules\.py:\d+"),
        ("small", r"a block of shape \(2, 49, 49\) became an array of shape \(2, 48, 49\)"),
        ("words", "gave an array of <U5, not of numbers"),
        ("strict", "reflectance is needed.*a test image, before any imagery, with numbers from .* to 255"),
        ("leaves", "raised SystemExit"),
        ("absent", "module rules has no absent"),
    ],
)
def test_what_a_function_does_wrong_is_told(project: Path, function: str, message: str) -> None:
    with pytest.raises(ModelError, match=f"(?s){message}"):
        inspect(ref(project, function))


def test_a_module_that_cannot_be_run_is_told(project: Path) -> None:
    for code, message in (("def box(", "raised SyntaxError"), ("raise SystemExit(1)", "raised SystemExit")):
        (project / "rules.py").write_text(code)
        with pytest.raises(ModelError, match=f"predictor rules:box: importing rules {message}"):
            inspect(ref(project, "box"))


@pytest.mark.parametrize("axes", [NetworkAxes(), NetworkAxes(channels="none"), NetworkAxes(channels="last")])
def test_what_is_masked_is_no_data(axes: NetworkAxes) -> None:
    images = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4)
    predict = FunctionPredictor(lambda block: np.ma.masked_where(block[0] < 3, block[0]), "rules:f", "", axes)
    expected = np.where(images < 3, np.nan, images)
    assert np.array_equal(predict(images), expected, equal_nan=True)


def test_another_number_of_bands_than_the_contract_says_is_refused(project: Path) -> None:
    with pytest.raises(ModelError, match="gives 1 channels, but its contract says 2"):
        inspect(ref(project, "box", 2, radius=2))


def test_a_module_that_is_not_there_is_refused_before_any_run(project: Path) -> None:
    wanted = ref(project, "box").model_copy(update={"predictor": "nosuchrules:box"})
    with pytest.raises(ModelError, match="there is no module nosuchrules"):
        check_weights(wanted)


def test_a_function_of_unbounded_reach_is_blended(project: Path) -> None:
    info = inspect(ref(project, "box", radius="unbounded"))
    assert not info.exact
    assert "looks at the whole block" in info.reason
    assert info.lattice is not None
    assert dataclasses.replace(info, exact=True).lattice is None
