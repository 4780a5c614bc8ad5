"""ONNX from an unknown author: operators by name and domain, and weights only in files beside the model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ModelError
from swath.models.onnx_predictor import OnnxPredictor
from swath.models.safety.onnx_file import check_onnx, external_files, read_onnx, weights_files

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model(
    *nodes: Any, initializers: Any = (), functions: Any = (), domains: tuple[str, ...] = ("",), **fields: Any
) -> Any:
    """A model of images (N, 3, H, W) whose nodes make `y` of `x`."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "g", [sides[0]], [sides[1]], list(initializers))
    imports = [helper.make_opsetid(domain, 18 if not domain else 1) for domain in domains]
    return helper.make_model(graph, functions=list(functions), opset_imports=imports, ir_version=9, **fields)


def add(weights: str = "w") -> Any:
    return helper.make_node("Add", ["x", weights], ["y"])


def external(location: str, offset: int | None = None, length: int | None = None) -> Any:
    """A weight whose number is in another file."""
    tensor = numpy_helper.from_array(np.full((1, 3, 1, 1), 7, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def write(path: Path, proto: Any) -> str:
    path.write_bytes(proto.SerializeToString())
    return str(path)


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        ("RandomNormalLike", ""),
        ("ImageDecoder", ""),
        ("NoSuchOperator", ""),
        ("add", ""),
        ("Add", "ai.onnx.ml"),
        ("EPContext", "com.microsoft"),
        ("PyOp", "com.microsoft"),
        ("Add", "mycompany"),
        ("Add", "ai.onnx.preview.training"),
        ("Add", "com.microsoft.nchwc"),
    ],
)
def test_an_operator_that_is_not_listed_is_refused_by_name(tmp_path: Path, operator: str, domain: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    branch = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    inside = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    for each in (node, inside):
        path = write(tmp_path / "m.onnx", model(each, domains=("", domain) if domain else ("",)))
        with pytest.raises(
            ModelError, match=rf"m\.onnx: calls the operator '{domain}\.?{operator}', which is not allowed"
        ):
            check_onnx(path)
        with pytest.raises(ModelError, match="not allowed in a model"):
            OnnxPredictor.open(path)


def test_functions_of_a_models_own_are_refused(tmp_path: Path) -> None:
    function = helper.make_function(
        "", "Add", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model: it has functions of its own"):
        check_onnx(write(tmp_path / "m.onnx", model(helper.make_node("Relu", ["x"], ["y"]), functions=[function])))


@pytest.mark.parametrize(
    "location",
    [
        "../secret", "/etc/passwd", "data/../../secret", "..", ".", "", "sub/weights", "..\\secret", "C:secret", "a\x00b", "a\nb",
        "*/_ORT_MEM_ADDR_/*", "file:///etc/passwd", "https://example.org/w", "w" * 300,
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["initializer", "attribute", "sparse", "branch"])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str, where: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(np.full(3, 7, np.float32).tobytes())
    weight = external(location)
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    if where == "initializer":
        proto = model(add(), initializers=[weight])
    elif where == "attribute":
        proto = model(constant, add())
    elif where == "sparse":
        sparse = helper.make_sparse_tensor(weight, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [3])
        proto = model(helper.make_node("Constant", [], ["w"], sparse_value=sparse), add())
    else:
        branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)])
        proto = model(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    path = write(folder / "m.onnx", proto)
    for check in (check_onnx, external_files, OnnxPredictor.open):
        with pytest.raises(ModelError, match=r"m\.onnx: its weights are in .*, which is not a file beside the model"):
            check(path)
    assert weights_files(path) == (path,)


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "numbers.bin").write_bytes(bytes(8) + np.arange(3, dtype=np.float32).tobytes())
    path = write(tmp_path / "m.onnx", model(add(), initializers=[external("numbers.bin", 8, 12)]))
    assert external_files(path) == ("numbers.bin",)
    assert weights_files(path) == (path, str(tmp_path / "numbers.bin"))
    result = OnnxPredictor.open(path)(np.zeros((1, 3, 4, 4), np.float32))
    assert result[0, :, 0, 0].tolist() == [0, 1, 2]


def test_links_folders_and_files_that_are_too_short_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(12))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").mkdir()
    (folder / "short").write_bytes(bytes(12))
    for tensor, message in (
        (external("link"), "which is a link"),
        (external("folder"), "which is no file"),
        (external("missing"), "which is not there"),
        (external("short", 4, 12), "bytes 4 to 16 of short are asked for, which has 12"),
        (external("short", 1 << 62, 1 << 62), "which has 12"),
        (external("short", 12), "which has 12"),
        (external("short", -4), "not an ONNX model"),
        (external("short", 0, -4), "not an ONNX model"),
    ):
        with pytest.raises(ModelError, match=message):
            OnnxPredictor.open(write(folder / "m.onnx", model(add(), initializers=[tensor])))


def test_a_location_that_stands_twice_is_refused(tmp_path: Path) -> None:
    tensor = external("short")
    tensor.external_data.add(key="location", value="../secret")
    with pytest.raises(ModelError, match="described twice"):
        check_onnx(write(tmp_path / "m.onnx", model(add(), initializers=[tensor])))


def test_a_graph_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """A reader of protobuf joins the two; another takes the last."""
    good, bad = model(helper.make_node("Relu", ["x"], ["y"])), model(helper.make_node("RandomNormalLike", ["x"], ["y"]))
    path = tmp_path / "m.onnx"
    path.write_bytes(good.SerializeToString() + bad.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model: field 7 stands twice"):
        check_onnx(str(path))


def test_deep_graphs_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    for _ in range(20):
        branch = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        if len(node.SerializeToString()) > 1 << 20:
            break
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch)
    with pytest.raises(ModelError, match="graphs are nested more than 16 deep"):
        check_onnx(write(tmp_path / "m.onnx", model(node)))


def test_every_truncated_or_flipped_model_is_refused_or_read(tmp_path: Path) -> None:
    (tmp_path / "numbers.bin").write_bytes(bytes(20))
    data = model(add(), initializers=[external("numbers.bin", 8, 12)]).SerializeToString()
    path = tmp_path / "m.onnx"
    for index in range(len(data)):
        for changed in (data[:index], data[:index] + bytes([data[index] ^ 0x55]) + data[index + 1 :]):
            path.write_bytes(changed)
            with contextlib.suppress(ModelError):
                check_onnx(str(path))


@pytest.mark.parametrize("content", [b"", b"ORTM" * 10, b"\x24\x00\x00\x00ORTM" + bytes(100), b"<html>", bytes(1000)])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model"):
        check_onnx(str(path))


def test_the_shared_models_pass(shared: Path) -> None:
    for path in sorted((shared / "data/models").glob("*.onnx")):
        check_onnx(str(path))
        assert ("", "Conv") in read_onnx(str(path)).operators
