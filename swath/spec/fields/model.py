"""A trained model in a spec: the files of its weights and its contract, precision and device."""

from __future__ import annotations

from typing import Any, Literal

from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import SpecModel


class ModelRef(SpecModel):
    """A trained model. In YAML: a path, or a mapping."""

    short_schemas = ({"type": "string", "description": "Path of the weights"},)

    path: InputPath
    """Weights: .pt2 (torch.export), .pt or .torchscript (TorchScript), .onnx, or .safetensors with `factory`.
    Absolute once loaded."""
    contract: InputPath | None = None
    """The model's contract; the file of the same name ending in .json when not given."""
    factory: str | None = None
    """For .safetensors: `module:function` that returns the torch.nn.Module to load the weights into."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the network's arithmetic. The others change some pixels; they are faster where the hardware computes in them (GPUs, processors
    with AMX or AVX512-BF16) and several times slower elsewhere. float16 is for GPUs only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs: `auto` is the GPU if the machine on which the run is started has one. Results on the two differ in the
    last bits."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value
