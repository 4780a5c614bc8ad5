"""A model in a spec: the files of its weights and its contract, precision and device; or a function of the project."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from swath.spec.fields.paths import InputPath
from swath.spec.locations import is_remote
from swath.spec.spec_model import SpecModel, mistake


class ModelRef(SpecModel):
    """A trained model, or a function of the project. In YAML: a path, or a mapping."""

    model_config = ConfigDict(json_schema_extra={"dependencies": {"factory": ["path"], "predictor": ["radius"]}})
    short_schemas = ({"type": "string", "description": "Path of the weights"},)

    path: InputPath | None = None
    """Weights: .pt2 (torch.export), .pt or .torchscript (TorchScript), .onnx, or .safetensors with `factory`. With `predictor` a file
    that the function reads, which may be left out."""
    contract: InputPath | None = None
    """The model's contract; the file beside the weights with the same name and the suffix .json when not given."""
    predictor: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """`module:function` of the project, which is the model: called with a block of pixels, (bands, height, width) in float32, scaled by
    the contract, and the path of the file if there is one; gives an array of the block's height and width."""
    radius: Annotated[int, Field(ge=0, le=512)] | Literal["unbounded"] | None = None
    """For `predictor`: how many pixels from a pixel the function looks, 0 for a function of each pixel alone. `unbounded` for one that
    looks at its whole block: its tiles are blended, and the map is approximate."""
    factory: str | None = None
    """For .safetensors and trusted checkpoints: `module:function`, which returns the torch.nn.Module to load the weights into."""
    trust: bool = False
    """Also read .ckpt, .pth and .pt files of torch.save, which are pickles: with torch's reader of weights only, which makes no other
    objects. Such files need `factory`. Say so only of files whose author you know."""
    precision: Literal["float32", "auto", "bfloat16", "float16"] = "float32"
    """Data type of the network's arithmetic. `auto` uses bfloat16 where that is clearly faster on the machine that does the work, and
    at least `agreement` of the pixels of a sample of this imagery keep their class. bfloat16 and float16 change some pixels; they
    are faster on hardware that computes in them (GPUs, processors with AMX or AVX512-BF16), slower elsewhere. float16 is for GPUs."""
    agreement: float = Field(default=0.9999, ge=0.9, le=1)
    """For `precision: auto`: share of pixels (0.9 to 1) that must have the class that float32 gives; of maps of values, numbers that
    differ by less than a thousandth of their spread."""
    runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    """Library that runs the network on the CPU. For maps of 12 megapixels and more, `auto` takes the fastest that is installed, if it
    is clearly faster than that of the file's format (torch, for .onnx files onnxruntime) and gives the same classes; the choice stays
    for these weights and this processor. Weights of .pt2, .safetensors and checkpoints are converted to ONNX for the others, once for
    all projects. Results differ in the last bits: name a runtime to have the same everywhere."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the network: `auto` is the GPU if the machine that starts the run has one. Results on GPU and CPU differ in the last
    bits."""

    @model_validator(mode="after")
    def _function(self) -> ModelRef:
        if self.predictor is None:
            if self.path is None:
                raise ValueError("give the path of the weights, or a predictor: module:function of the project")
            if self.radius is not None:
                raise ValueError("radius: goes with predictor; that of a network is measured")
            return self
        if self.radius is None:
            raise ValueError(
                "radius: is missing: how many pixels from a pixel the predictor looks; 0 for a function of each pixel alone"
            )
        if self.contract is None and self.path is None:
            raise ValueError("contract: is missing: a predictor without a file has a contract of its own")
        unused = [name for name in ("factory", "trust", "precision", "runtime") if name in self.model_fields_set]
        if unused or self.device == "cuda":
            raise ValueError(
                f"{', '.join(unused) or 'device: cuda'} does not go with predictor, which is called as it is"
            )
        return self

    @model_validator(mode="after")
    def _no_pickles(self) -> ModelRef:
        if self.predictor is None and self.path is not None and not self.trust and _pickled(self.path):
            raise mistake(
                "{path} is a pickled checkpoint, which can run code when it is opened: export the network with torch.export.save to a"
                " .pt2 file, save its weights as .safetensors, or say `trust: true` with `factory` if you know who made it",
                path=self.path,
            )
        return self

    @property
    def subject(self) -> str:
        """The path of the weights, or the name of the function."""
        return self.path or self.predictor or ""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


def _pickled(path: str) -> bool:
    """Whether weights are a file of torch.save. A .pt file on this machine is one unless it is TorchScript."""
    suffix = Path(path).suffix.lower()
    if suffix != ".pt" or is_remote(path) or not Path(path).is_file():
        return suffix in (".ckpt", ".pth", ".pkl", ".pickle")
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        with Path(path).open("rb") as file:
            return file.read(1) == b"\x80"
    except (OSError, ValueError):  # loading it says what is wrong
        return False
