"""A trained model in a spec: the files of its weights and its contract, precision and device."""

from __future__ import annotations

from typing import Any, Literal

from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import SpecModel


class ModelRef(SpecModel):
    """A trained model. In YAML: a path, or a mapping."""

    short_schemas = ({"type": "string", "description": "Path of the weights"},)

    path: InputPath
    """Weights: .pt2 (torch.export), .pt or .torchscript (TorchScript), .onnx, or .safetensors with `factory`."""
    contract: InputPath | None = None
    """The model's contract; the file beside the weights with the same name and the suffix .json when not given."""
    factory: str | None = None
    """For .safetensors: `module:function`, which returns the torch.nn.Module that the weights are loaded into."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Data type of the network's arithmetic. bfloat16 and float16 change some pixels; they are faster on hardware that computes in them
    (GPUs, processors with AMX or AVX512-BF16) and several times slower elsewhere. float16 is for GPUs only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network: `auto` is the GPU if the machine that starts the run has one. Results on GPU and CPU differ in the last
    bits."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value
