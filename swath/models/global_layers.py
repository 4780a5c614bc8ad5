"""Parts of a network that look at the whole image, by their names: why tiles of it cannot equal one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.models.exported import Program

if TYPE_CHECKING:
    import torch

WIDE = {
    "group norm": ("GroupNorm", "group_norm", "native_group_norm"),
    "instance norm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "instance_norm"),
    "attention": ("MultiheadAttention", "scaled_dot_product_attention", "_native_multi_head_attention"),
    "pooling over the whole image": (
        "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    ),
    "layer norm": ("LayerNorm", "layer_norm", "native_layer_norm"),
}  # fmt: skip
"""What messages call them, with torch's names of their modules and operators. A layer norm may be over channels only, so it is
named only where none of the others is there."""
_DOUBTFUL = "layer norm"


def wide_parts(network: torch.nn.Module | Program) -> tuple[str, ...]:
    """Which of WIDE a network has. That a network has none of them does not say that it is bounded: that is measured."""
    names = _names(network)
    found = tuple(part for part, known in WIDE.items() if names.intersection(known))
    certain = tuple(part for part in found if part != _DOUBTFUL)
    return certain or found


def _names(network: torch.nn.Module | Program) -> set[str]:
    if isinstance(network, Program):
        return {_operator(step.call) for step in network.steps}
    names = {getattr(module, "original_name", type(module).__name__) for module in network.modules()}
    nodes = getattr(
        getattr(network, "graph", None), "nodes", ()
    )  # of torch.export's modules; a method in TorchScript's
    return names if callable(nodes) else names | {_operator(node.target) for node in nodes}


def _operator(call: object) -> str:
    """`group_norm` of the operator aten.group_norm.default."""
    name = str(call)
    return name.split(".")[1] if name.startswith("aten.") else name
