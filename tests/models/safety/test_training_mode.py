"""Networks exported in training mode: refused by the name of the operator, in every format; the same in eval mode passes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from swath.errors import ModelError
from swath.models.load import check_file, format_of, rehearse

IMAGES = torch.rand(2, 3, 8, 8)


class Dropped(nn.Module):
    """Dropout that no mode turns off."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(images, 0.5)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 8, num_layers=2, dropout=0.2)

    def forward(self, images: Tensor) -> Tensor:
        result, _ = self.layer(images.flatten(0, 1))
        return torch.as_tensor(result).view_as(images)


class Noisy(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + torch.rand_like(images)


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = 0.1

    def forward(self, images: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(
            images, images, images, dropout_p=self.rate if self.training else 0.0
        )


NETWORKS: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: nn.BatchNorm2d(3), "batch_norm uses each image's own statistics"),
    (lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout()), "dropout is active"),
    (nn.Dropout2d, "feature_dropout is active"),
    (lambda: nn.InstanceNorm2d(3, track_running_stats=True), "instance_norm changes its statistics with each image"),
    (Attentive, "scaled_dot_product_attention has a dropout of 0.1"),
]
NAMES = ["batch-norm", "dropout", "dropout-2d", "instance-norm", "attention"]


def exported(network: nn.Module, path: Path) -> Path:
    archive = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (IMAGES,)), archive)
    path.write_bytes(archive.getvalue())
    return path


def traced(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, IMAGES, check_trace=False), str(path))  # type: ignore[no-untyped-call]
    return path


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), str(path))  # type: ignore[no-untyped-call]
    return path


def look(path: Path) -> None:
    form = format_of(str(path))
    check_file(str(path), form)
    if form != "pt2":
        rehearse(str(path), form)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        look(path)
    assert "call .eval() on the network before you export it" in caught.value.remedy
    return caught.value.message


@pytest.mark.parametrize(("make", "fault"), NETWORKS, ids=NAMES)
def test_a_torch_network_in_training_mode_is_refused(make: Callable[[], nn.Module], fault: str, tmp_path: Path) -> None:
    for path in (exported(make().train(), tmp_path / "m.pt2"), traced(make().train(), tmp_path / "m.pt")):
        assert refused(path) == (
            f"{path}: the network was exported in training mode ({fault}), so each run would give another map"
        )
    for path in (exported(make().eval(), tmp_path / "m.pt2"), traced(make().eval(), tmp_path / "m.pt")):
        look(path)


def test_dropout_between_recurrent_layers_is_refused(tmp_path: Path) -> None:
    assert "(the dropout of lstm is active)" in refused(exported(Recurrent().train(), tmp_path / "m.pt2"))
    look(exported(Recurrent().eval(), tmp_path / "m.pt2"))


def test_scripted_networks_are_put_into_eval_mode_and_refused_when_that_changes_nothing(tmp_path: Path) -> None:
    for make, _ in NETWORKS[:4]:
        look(scripted(make().train(), tmp_path / "m.pt"))
    look(scripted(nn.BatchNorm2d(3, track_running_stats=False), tmp_path / "m.pt"))
    assert "(dropout is active)" in refused(scripted(Dropped().eval(), tmp_path / "m.pt"))
    assert "(rand_like draws random numbers)" in refused(scripted(Noisy().eval(), tmp_path / "m.pt"))


def test_norms_that_are_of_the_image_in_every_mode_pass(tmp_path: Path) -> None:
    for network in (nn.BatchNorm2d(3, track_running_stats=False), nn.InstanceNorm2d(3)):
        look(exported(network.eval(), tmp_path / "m.pt2"))
        look(traced(network.eval(), tmp_path / "m.pt"))


def test_random_numbers_have_the_remedy_of_training_mode(tmp_path: Path) -> None:
    assert "rand_like" in refused(exported(Noisy().eval(), tmp_path / "m.pt2"))


def onnx_model(path: Path, *nodes: Any, initializers: Any = (), opset: int = 17) -> Path:
    onnx = pytest.importorskip("onnx")
    sides = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph(list(nodes), "g", [sides[0]], [sides[1]], list(initializers))
    imports = [onnx.helper.make_opsetid("", opset)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
    return path


def test_batch_norm_of_onnx_in_training_mode_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = [onnx.numpy_helper.from_array(np.ones(3, np.float32), name) for name in "sbmv"]
    path = tmp_path / "m.onnx"
    for results, opset, attributes in (
        (["y", "rm", "rv"], 17, {"training_mode": 1}),
        (["y", "rm", "rv", "sm", "sv"], 9, {}),
    ):
        node = onnx.helper.make_node("BatchNormalization", ["x", *"sbmv"], results, **attributes)
        assert "(BatchNormalization uses each image's own statistics)" in refused(
            onnx_model(path, node, initializers=weights, opset=opset)
        )
    for attributes in ({}, {"training_mode": 0}):
        node = onnx.helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"], **attributes)
        look(onnx_model(path, node, initializers=weights))


@pytest.mark.parametrize("where", ["initializer", "constant", "bytes"])
def test_dropout_of_onnx_in_training_mode_is_refused(where: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node("Dropout", ["x", "", "mode"], ["y"])
    path = tmp_path / "m.onnx"
    for active in (True, False):
        value = (
            onnx.numpy_helper.from_array(np.array(active), "mode")
            if where == "bytes"
            else onnx.helper.make_tensor("mode", onnx.TensorProto.BOOL, [], [active])
        )
        before = [onnx.helper.make_node("Constant", [], ["mode"], value=value)] if where == "constant" else []
        onnx_model(path, *before, node, initializers=() if before else [value])
        if active:
            assert "(Dropout is active)" in refused(path)
        else:
            look(path)


def test_a_dropout_whose_mode_is_computed_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    nodes = [
        onnx.helper.make_node("IsNaN", ["x"], ["mode"]),
        onnx.helper.make_node("Dropout", ["x", "", "mode"], ["y"]),
    ]
    assert "(Dropout has a training_mode that is computed)" in refused(onnx_model(tmp_path / "m.onnx", *nodes))
