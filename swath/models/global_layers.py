"""Layers of a network that depend on the whole image, by name: why its tiles cannot equal one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from swath.models.exported_program import Program

if TYPE_CHECKING:
    import torch

TorchNetwork: TypeAlias = "torch.nn.Module | Program"

GLOBAL_LAYERS = {
    "group norm": ("GroupNorm", "group_norm", "native_group_norm"),
    "instance norm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "instance_norm"),
    "attention": ("MultiheadAttention", "scaled_dot_product_attention", "_native_multi_head_attention"),
    "pooling over the whole image": (
        "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    ),
    "layer norm": ("LayerNorm", "layer_norm", "native_layer_norm"),
}  # fmt: skip
"""Names for messages, with torch's names of the modules and operators. A layer norm may be over channels only, so it is
named only where none of the others is there."""
_UNCERTAIN = "layer norm"


def find_global_layers(network: TorchNetwork) -> tuple[str, ...]:
    """Which of GLOBAL_LAYERS a network has. Having none does not prove a bounded receptive field: that is measured."""
    names = _names(network)
    found = tuple(layer for layer, known in GLOBAL_LAYERS.items() if names.intersection(known))
    certain = tuple(layer for layer in found if layer != _UNCERTAIN)
    return certain or found


def _names(network: TorchNetwork) -> set[str]:
    if isinstance(network, Program):
        return {_operator(call) for call in network.block.calls()}
    names = {getattr(module, "original_name", type(module).__name__) for module in network.modules()}
    nodes = getattr(
        getattr(network, "graph", None), "nodes", ()
    )  # of torch.export's modules; a method in TorchScript's
    return names if callable(nodes) else names | {_operator(node.target) for node in nodes}


def _operator(call: object) -> str:
    """`group_norm` of the operator aten.group_norm.default."""
    name = str(call)
    return name.split(".")[1] if name.startswith("aten.") else name
