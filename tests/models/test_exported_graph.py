"""The graph of a .pt2 archive: operators are allowed by name, and nothing but numbers and tensors is an argument."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from swath.models.exported_graph import ForbiddenOperator, Unsupported, check_operators, read_block
from swath.models.exported_program import DEVICE


def node(target: str, *inputs: dict[str, Any], out: str = "y") -> dict[str, Any]:
    arguments = [{"name": "", "arg": each, "kind": 1} for each in inputs]
    return {"target": target, "inputs": arguments, "outputs": [{"as_tensor": {"name": out}}], "metadata": {}}


def graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodes": list(nodes), "inputs": [{"as_tensor": {"name": "x"}}], "outputs": [{"as_tensor": {"name": "y"}}],
    }  # fmt: skip


X = {"as_tensor": {"name": "x"}}


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.ops.aten.save.default",
        "torch.ops.aten.set_.source_Storage_storage_offset",
        "torch.ops.aten.set_data.default",
        "torch.ops.aten.resize_.default",
        "torch.ops.aten.resize_as_.default",
        "torch.ops.aten.as_strided_.default",
        "torch.ops.aten._reshape_alias.default",
        "torch.ops.aten._print.default",
        "torch.ops.aten.record_stream.default",
        "torch.ops.aten.randn.default",
        "torch.ops.aten._foreach_add_.Scalar",
        "torch.ops.aten.FROM_FILE.default",
        "torch.ops.aten.relu.default.__class__",
        "torch.ops.mylib.read.default",
        "torch.ops.prims.copy_to.default",
        "torch.ops.symm_mem.one_shot_all_reduce.default",
        "torch.ops.higher_order.call_torchbind",
        "torch.ops.higher_order.triton_kernel_wrapper_mutation",
        "torch.ops.load_library",
        "torch.hub.load",
        "torch.load",
        "torch.sym_int.__globals__",
        "torch.os.system",
        "os.system",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "builtins.eval",
        "math.factorial",
        "cond",
        "",
    ],
)
def test_an_operator_that_is_not_listed_is_refused_by_name(target: str) -> None:
    for document in (
        graph(node(target, X)),
        graph(node("torch.ops.higher_order.cond", X, _branch(node(target, X)), X)),
    ):
        with pytest.raises(ForbiddenOperator) as caught:
            check_operators(document)
        assert str(caught.value) == target
        with pytest.raises(ForbiddenOperator) as caught:
            read_block(document, ("x",), ("y",))
        assert str(caught.value) == target


def _branch(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"as_graph": {"name": "branch", "graph": graph(*nodes)}}


@pytest.mark.parametrize(
    "target",
    ["add.out", "max.dim_max", "native_layer_norm.out", "conv2d.nothing", "relu._schema", "add.int", "to.prim_Device"],
)
def test_an_overload_that_writes_elsewhere_or_is_torchscripts_is_refused(target: str) -> None:
    with pytest.raises(ForbiddenOperator, match=target):
        read_block(graph(node(f"torch.ops.aten.{target}", X)), ("x",), ("y",))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"as_custom_obj": {"name": "x", "class_fqn": "__torch__.torch.classes.x"}}, "custom_obj"),
        ({"as_operator": "torch.os.system"}, "operator"),
        ({"as_int": 1 << 64}, "int"),
        ({"as_int": "1"}, "int"),
        ({"as_ints": [[[1 << 70]]]}, "ints"),
        ({"as_float": "nan()"}, "float"),
        ({"as_string": 5}, "string"),
        ({"as_scalar_type": 99}, "scalar_type"),
        ({"as_layout": 1}, "layout"),
        ({"as_device": {"type": "meta"}}, "device 'meta'"),
        ({"as_tensor": {"name": "z"}}, "'z' before it is there"),
    ],
)
def test_arguments_are_numbers_and_tensors(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        read_block(graph(node("torch.ops.aten.add.Tensor", X, argument)), ("x",), ("y",))


@pytest.mark.parametrize("kind", [1, 2])
def test_a_type_is_no_number(kind: int) -> None:
    copy = node("torch.ops.aten._to_copy.default", X)
    copy["inputs"].append({"name": "dtype", "arg": {"as_int": -5}, "kind": kind})
    with pytest.raises(Unsupported, match="has 'int' for the dtype of an operator"):
        read_block(graph(copy), ("x",), ("y",))


def test_a_view_does_not_reach_over_its_data() -> None:
    views = node("torch.ops.aten.as_strided.default", X, {"as_ints": [1000]}, {"as_ints": [1]}, {"as_int": 1 << 20})
    block = read_block(graph(views), ("x",), ("y",))
    with pytest.raises(RuntimeError, match="out of bounds"):
        block.run({"x": torch.zeros(4), DEVICE: "cpu"})


def test_graphs_in_graphs_end() -> None:
    inner = node("torch.ops.aten.relu.default", X)
    for _ in range(20):
        inner = node("torch.ops.higher_order.wrap_with_set_grad_enabled", {"as_bool": False}, _branch(inner), X)
    for check in (check_operators, lambda document: read_block(document, ("x",), ("y",))):
        with pytest.raises(Unsupported, match="nested more than 16 deep"):
            check(graph(inner))


def test_a_result_that_nothing_computes_is_refused() -> None:
    with pytest.raises(Unsupported, match="gives 'z', which nothing computes"):
        read_block(graph(node("torch.ops.aten.relu.default", X)), ("x",), ("z",))
