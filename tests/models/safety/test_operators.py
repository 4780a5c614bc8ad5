"""The list of operators against torch's and onnxruntime's own lists, and against what must never be in it."""

from __future__ import annotations

import re

import pytest
import torch

from swath.models.safety import operators
from swath.models.safety.operators import ATEN_NAMES, ONNX_NAMES, SCRIPT_NAMES, SIZE_NAMES, SUBGRAPH_NAMES

NEVER = re.compile(
    r"from_file|save|load|print|set_$|set_data|resize|as_strided_$|_reshape_alias|record_stream|pin_memory|rand|normal|bernoulli|multinomial"
    r"|poisson|uniform|_foreach|_fused_(adam|sgd)|backward|sparse|nested|quantize|mkldnn|cudnn|miopen|fbgemm|lazy|wait|rpc|owner|seed|file"
)


def test_every_name_is_an_operator_of_torch() -> None:
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {f"aten::{name}" for name in ATEN_NAMES} <= known
    assert {name for name in SCRIPT_NAMES if name.startswith("aten::")} <= known


def test_nothing_that_reads_writes_or_draws_is_listed() -> None:
    drawn = set(next(iter(operators.TORCHSCRIPT.values())).split())
    scripted = {each.removeprefix("aten::") for each in SCRIPT_NAMES if each.startswith("aten::")}
    for name in (ATEN_NAMES | scripted) - drawn:
        assert not NEVER.search(name.replace("_norm", "")), name
    assert not {"prim::Print", "prim::PythonOp", "prim::CreateObject", "prim::CallMethod", "prim::fork"} & SCRIPT_NAMES


def test_arguments_are_tensors_and_numbers() -> None:
    """No operator takes a storage, a stream, a generator or an object; texts are modes, and none is a path."""
    texts = {
        "approximate",
        "rounding_mode",
        "padding_mode",
        "mode",
        "reduce",
        "indexing",
        "side",
        "equation",
        "ord",
        "interpolation",
    }
    texts |= {"padding", "assert_msg", "msg", "driver", "pad_mode", "norm", "p"}
    for name in ATEN_NAMES:
        packet = getattr(torch.ops.aten, name, None)
        for overload in packet.overloads() if packet is not None else ():
            if "str" in overload or overload == "enum":  # comparisons in TorchScript
                continue
            for argument in getattr(packet, overload)._schema.arguments:
                kind = str(argument.type)
                assert not re.search(r"Storage|Stream|__torch__|Future|RRef|Quantizer", kind), (name, argument)
                if "str" in kind and "Dimname" not in kind:
                    assert argument.name in texts, (name, overload, argument)


def test_groups_are_sorted_and_disjoint() -> None:
    def key(name: str) -> tuple[str, str]:
        return name.strip("_").lower(), name

    seen: set[str] = set()
    for group in (*operators.ATEN.values(), *operators.TORCHSCRIPT.values()):
        names = group.split()
        assert names == sorted(names, key=key)
        assert not seen & set(names)
        seen |= set(names)
    for group in (*operators.ONNX.values(), operators.ONNX_MICROSOFT):
        assert group.split() == sorted(group.split())


def test_onnx_operators_are_onnxs_own() -> None:
    onnx = pytest.importorskip("onnx")
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert ONNX_NAMES[""] <= known
    assert not {
        name for name in ONNX_NAMES[""] if re.search("Random|Bernoulli|Multinomial|String|Decoder|Regex|TfIdf", name)
    }
    assert set(ONNX_NAMES) == {"", "ai.onnx", "com.microsoft"}


def test_arithmetic_of_sizes_is_nothing_else() -> None:
    assert not {name for name in SIZE_NAMES if re.search("attr|method|call|concat|iadd|index|load|eval", name)}
    assert {"cond", "wrap_with_autocast", "wrap_with_set_grad_enabled"} == SUBGRAPH_NAMES
