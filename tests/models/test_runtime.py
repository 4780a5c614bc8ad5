"""Conformance of runtimes: each agrees with torch in float32, does not depend on tilings, and fails with the same errors.

A new runtime runs this suite by being in RUNTIMES.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import MissingExtra, ModelError
from swath.geo import Window, source_window
from swath.models.contract import ModelInfo, Runtime
from swath.models.conversion import CONVERTED
from swath.models.infer import network_output
from swath.models.info import inspect
from swath.models.load import load_model
from swath.models.precision import agreement
from swath.models.predictor import ImagesRefused
from swath.models.runtime import RUNTIMES, obstacle
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import ENDINGS, FACTORIES, write_cloud_contract
from tests.process import ROOT

pytestmark = [
    pytest.mark.timeout(900),  # a conversion takes ten seconds of a quiet machine, and tests wait for each other's
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),  # the labelled images have none
]

MODELS = ("water.pt2", "clouds_rgbi.onnx", "clouds_rgbiswir.safetensors")
HEIGHT, WIDTH = 264, 328
IMAGE = GeoBox((HEIGHT, WIDTH), rasterio.Affine(30, 0, 0, 0, -30, 0), "EPSG:32612")
WHOLE = Window(0, 0, HEIGHT, WIDTH)
TILINGS = ((128, 56), (200, 0))
"""Edge of the tiles, and the rows and columns before the first whole tile."""
BOUND = 2e-5
"""Largest difference from torch in float32, as a part of the largest output."""
LEAST_AGREEMENT = 0.9999
PAIRS = [
    (runtime, model)
    for runtime in RUNTIMES
    for model in MODELS
    if model.endswith((".pt2", ".safetensors")) or runtime != "torch"
]
CHILD = """
import json, os, pickle, sys, time
import numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
info = pickle.loads((folder / "info.pickle").read_bytes())
images = np.load(folder / "images.npy")
from swath.models.load import load_model
predictor = load_model(info)
predictor(images)
wall, cpu = time.perf_counter(), time.process_time()
for _ in range(3):
    output = predictor(images)
share = (time.process_time() - cpu) / (time.perf_counter() - wall)
np.save(folder / "output.npy", output)
print(json.dumps({"share": share, "threads": len(os.listdir("/proc/self/task")), "torch": "torch" in sys.modules}))
"""


@cache
def reference(shared: Path, scene: Path, folder: Path, model: str) -> tuple[ModelInfo, NDArray[Any]]:
    """The model as its file says, and pixels (bands, HEIGHT, WIDTH) of real imagery, in the units of its contract."""
    name, _, suffix = model.rpartition(".")
    if name == "water":
        with rasterio.open(scene) as image:
            pixels = image.read([1, 2, 3, 4], window=rasterio.windows.Window(700, 600, WIDTH, HEIGHT))
        return inspect(ModelRef(path=str(ROOT / "models/water.pt2"), device="cpu")), pixels
    contract = write_cloud_contract(folder / f"{model}.json", name, suffix)
    factory = FACTORIES[name] if suffix == "safetensors" else None
    path = shared / "data/models" / f"{name}{ENDINGS[suffix]}"
    with rasterio.open(shared / "data/labels/clouds/sentinel2_img.tif") as image:
        pixels = image.read(window=rasterio.windows.Window(0, 0, WIDTH, HEIGHT)) / np.float32(10000)
    info = inspect(ModelRef(path=str(path), contract=str(contract), factory=factory, device="cpu"))
    return info, pixels[: len(info.contract.bands)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contracts")


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair))
def case(
    request: pytest.FixtureRequest, shared: Path, scene: Path, folder: Path
) -> tuple[ModelInfo, ModelInfo, NDArray[Any]]:
    """A model in a runtime, the same as its file says, and pixels."""
    runtime, model = request.param
    plain, pixels = reference(shared, scene, folder, model)
    return dataclasses.replace(plain, runtime=runtime), plain, pixels


def output_of(info: ModelInfo, pixels: NDArray[Any], inner: Window = WHOLE) -> NDArray[np.float32]:
    source = source_window(IMAGE, inner, info.halo, info.stride)
    at = source.within(WHOLE)
    valid = np.ones(source.shape, np.bool_)
    return network_output(load_model(info), info, pixels[:, *at], valid, source, inner)


def images_of(info: ModelInfo, size: tuple[int, int], bands: int | None = None) -> NDArray[np.float32]:
    shape = (1, bands or len(info.contract.bands), *size)
    return np.random.default_rng(5).random(shape, dtype=np.float32)


@pytest.mark.slow
def test_it_agrees_with_the_files_own_runtime_on_real_imagery(
    case: tuple[ModelInfo, ModelInfo, NDArray[Any]],
) -> None:
    info, plain, pixels = case
    one, other = output_of(info, pixels), output_of(plain, pixels)
    assert one.dtype == np.float32
    assert np.abs(one - other).max() <= BOUND * np.abs(other).max()
    found = agreement(info, pixels, np.ones(WHOLE.shape, np.bool_), WHOLE, WHOLE)
    assert found.pixels == HEIGHT * WIDTH
    assert found.share >= LEAST_AGREEMENT
    assert found.largest == 0 or not info.is_plain


@pytest.mark.slow
def test_a_pixel_does_not_depend_on_the_tiling(case: tuple[ModelInfo, ModelInfo, NDArray[Any]]) -> None:
    """To the last bit; torch has it for tiles of one size (below), and may differ in the last bits between sizes."""
    info, _, pixels = case
    whole = output_of(info, pixels)
    for edge, first in TILINGS:
        rows, columns = ([0, *range(first or edge, length - edge // 4, edge), length] for length in (HEIGHT, WIDTH))
        for (top, bottom), (left, right) in itertools.product(itertools.pairwise(rows), itertools.pairwise(columns)):
            tile = Window(top, left, bottom - top, right - left)
            one, other = output_of(info, pixels, tile), whole[:, *tile.within(WHOLE)]
            if info.used_runtime == "torch":
                assert np.abs(one - other).max() <= BOUND * np.abs(other).max(), tile
            else:
                np.testing.assert_array_equal(one, other, str(tile))


@pytest.mark.slow
def test_shifted_tiles_of_one_size_give_the_same_bits(case: tuple[ModelInfo, ModelInfo, NDArray[Any]]) -> None:
    info, _, pixels = case
    predictor, halo = load_model(info), info.halo
    edge = -(-(2 * halo + 80) // info.stride) * info.stride
    for row, column in ((0, 8), (16, 0), (24, 40)):
        one, other = (
            predictor(np.ascontiguousarray(pixels[None, :, top : top + edge, left : left + edge], np.float32))
            for top, left in ((0, 0), (row, column))
        )
        here = slice(halo + 40, edge - halo)
        there = (slice(here.start - row, here.stop - row), slice(here.start - column, here.stop - column))
        assert min(each.start for each in there) >= halo
        np.testing.assert_array_equal(one[0, :, here, here], other[0, :, *there])


@pytest.mark.slow
def test_images_that_it_does_not_take_are_refused_and_leave_no_trace(
    case: tuple[ModelInfo, ModelInfo, NDArray[Any]],
) -> None:
    info, _, _ = case
    predictor = load_model(info)
    edge = max(info.stride * 8, 64)
    good = images_of(info, (edge, edge + info.stride))
    before = predictor(good).copy()
    wrong = [images_of(info, (edge, edge), len(info.contract.bands) + 1)]
    if info.stride > 1:
        wrong += [images_of(info, (edge + 1, edge)), images_of(info, (edge, edge + info.stride + 1))]
    for images in wrong:
        with pytest.raises(
            ImagesRefused, match=f"{images.shape[1]} x {images.shape[2]} x {images.shape[3]}|became"
        ) as caught:
            predictor(images)
        assert info.path in caught.value.message
    np.testing.assert_array_equal(predictor(good), before)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_another_process_gives_the_same_bytes_on_one_core_and_imports_no_torch_without_need(
    runtime: Runtime, shared: Path, scene: Path, folder: Path, tmp_path: Path
) -> None:
    plain, _ = reference(shared, scene, folder, "water.pt2")
    info = dataclasses.replace(plain, runtime=runtime)
    images = images_of(info, (256, 320))
    here = load_model(info)(images)
    (tmp_path / "info.pickle").write_bytes(pickle.dumps(info))
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), here)
    assert found["share"] < 1.2
    assert found["threads"] <= 16 + (
        os.cpu_count() or 1
    )  # libraries start some that wait; the share of a core is what counts
    assert found["torch"] is (runtime == "torch")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_that_is_not_installed_names_its_extra(
    runtime: Runtime, shared: Path, scene: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = reference(shared, scene, folder, "clouds_rgbi.onnx")
    info = dataclasses.replace(plain, runtime=runtime)
    load_model.__globals__["_load"].cache_clear()
    monkeypatch.setitem(sys.modules, RUNTIMES[runtime].package, None)
    with pytest.raises(MissingExtra) as caught:
        load_model(info)
    assert caught.value.remedy == f"pip install 'swath[{RUNTIMES[runtime].extra}]'"


def test_openvino_computes_in_bfloat16_or_says_that_this_processor_does_not(
    shared: Path, scene: Path, folder: Path
) -> None:
    plain, pixels = reference(shared, scene, folder, "clouds_rgbi.onnx")
    info = dataclasses.replace(plain, runtime="openvino", precision="bfloat16")
    failed = ""
    try:
        one = output_of(info, pixels)
    except ModelError as error:
        failed = error.message
    if failed:
        assert failed.endswith("does not compute in bfloat16 on this processor")
        return
    other = output_of(dataclasses.replace(info, precision="float32"), pixels)
    assert 0 < np.abs(one - other).max() < 0.1


def test_what_a_runtime_cannot_do_is_known_before_anything_runs() -> None:
    for runtime in RUNTIMES.values():
        for form in CONVERTED:
            assert obstacle(runtime.name, form, "float32", "cpu") == ""
    assert obstacle("torch", "onnx", "float32", "cpu") == "does not run onnx files: onnxruntime does"
    assert obstacle("openvino", "torchscript", "float32", "cpu") == "does not run torchscript files: torch does"
    assert obstacle("openvino", "pt2", "float32", "cuda") == "does not run on device cuda"
    assert obstacle("onnxruntime", "pt2", "bfloat16", "cpu") == "does not compute in bfloat16"
    assert obstacle("openvino", "onnx", "bfloat16", "cpu") == ""


def test_the_specs_runtime_reaches_the_model(tmp_path: Path) -> None:
    path = str(ROOT / "models/water.pt2")
    with pytest.raises(ModelError, match="runtime onnxruntime does not compute in bfloat16"):
        inspect(ModelRef(path=path, runtime="onnxruntime", precision="bfloat16", device="cpu"))
    assert inspect(ModelRef(path=path, device="cpu")).used_runtime == "torch"
    assert inspect(ModelRef(path=path, runtime="openvino")).runtime == "openvino"
