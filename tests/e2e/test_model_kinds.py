"""Models as people have them, through the real `pipe` process: the right map, or a refusal that ends the search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import Tensor, nn

from tests.imagery.rasters import write
from tests.models.tiny_models import export, tiny_contract
from tests.process import Pipe

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class Bright(nn.Module):
    """Dark below 100 and bright above, with another output of the opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        result = self.norm(torch.cat([100 - images, images - 100], 1))
        return {"aux": -result, "logits": result}


def by_key(path: Path) -> Path:
    return export(Bright(), 1, path.with_suffix(".pt2"))


def in_training(path: Path) -> Path:
    sizes = {2: torch.export.Dim("h", min=2), 3: torch.export.Dim("w", min=2)}
    program = torch.export.export(Bright().train(), (torch.zeros(1, 1, 8, 8),), dynamic_shapes=(sizes,))
    torch.export.save(program, path.with_suffix(".pt2"))
    return path.with_suffix(".pt2")


def graph(dtype: str, height: int | str, width: int | str) -> Callable[[Path], Path]:
    """An ONNX model of two outputs, `aux` first."""

    def make(path: Path) -> Path:
        code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        middle = onnx.numpy_helper.from_array(np.array(100, dtype), "middle")
        nodes = [
            onnx.helper.make_node("Sub", ["middle", "image"], ["dark"]),
            onnx.helper.make_node("Sub", ["image", "middle"], ["bright"]),
            onnx.helper.make_node("Concat", ["bright", "dark"], ["aux"], axis=1),
            onnx.helper.make_node("Concat", ["dark", "bright"], ["logits"], axis=1),
        ]
        sides = [
            onnx.helper.make_tensor_value_info(name, code, ["n", bands, height, width])
            for name, bands in (("image", 1), ("aux", 2), ("logits", 2))
        ]
        made = onnx.helper.make_graph(nodes, "g", sides[:1], sides[1:], [middle])
        imports = [onnx.helper.make_opsetid("", 17)]
        file = path.with_suffix(".onnx")
        file.write_bytes(onnx.helper.make_model(made, opset_imports=imports, ir_version=9).SerializeToString())
        return file

    return make


@pytest.fixture
def predict(pipe: Pipe) -> Callable[[Callable[[Path], Path], int], str]:
    """Maps a scene that is dark in the west and bright in the east; gives what the command printed."""
    scene = np.zeros((1, 64, 64), np.uint8)
    scene[:, :, 32:] = 200
    write(pipe.folder / "scene.tif", scene, size=10)

    def run(make: Callable[[Path], Path], code: int) -> str:
        model = make(pipe.folder / "model")
        document = tiny_contract("bright", ["gray"], 2)
        document["mlm:output"][0]["name"] = "logits"
        model.with_suffix(".json").write_text(json.dumps(document))
        imagery = {"source": "files", "paths": ["scene.tif"], "names": ["gray"]}
        spec = pipe.spec("predict", imagery=imagery, model=model.name, output="out/map")
        return pipe("run", spec, "--cluster", "inline", code=code).err

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [by_key, graph("float32", "h", "w"), graph("float16", "h", "w")], ids=["keys", "outputs", "halves"]
)
def test_the_named_output_is_mapped_whatever_numbers_the_model_takes(
    pipe: Pipe, predict: Callable[[Callable[[Path], Path], int], str], make: Callable[[Path], Path]
) -> None:
    predict(make, 0)
    with rasterio.open(pipe.folder / "out/map/map.tif") as made:
        classes = made.read(1)
    assert (np.unique(classes[:, :32]).tolist(), np.unique(classes[:, 32:]).tolist()) == ([0], [1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (in_training, "the network was exported in training mode (batch_norm uses each image's own statistics)"),
        (graph("float32", 224, 256), "the model takes images of 224 x 256 pixels only"),
        (graph("bool", "h", "w"), "the model takes bool; swath gives float32"),
    ],
    ids=["training", "one-size", "bytes"],
)
def test_a_model_that_cannot_be_mapped_is_refused_before_the_run(
    pipe: Pipe, predict: Callable[[Callable[[Path], Path], int], str], make: Callable[[Path], Path], message: str
) -> None:
    assert message in predict(make, 2)
    assert not (pipe.folder / "out/map/map.tif").exists()
