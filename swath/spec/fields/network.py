"""The fields of a training in a spec: network, loss, augmentation, optimizer, and which epoch's weights are used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from swath.spec.fields.paths import InputPath
from swath.spec.spec_model import ShortForm, SpecModel, mistake

NETWORK_PATTERN = r"^(unet|smp:[A-Za-z]\w*|timm:[\w.]+|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class Network(SpecModel):
    """The network. In YAML: its name, or a mapping."""

    short_schemas = ({"type": "string", "pattern": NETWORK_PATTERN, "description": "Name of the network"},)

    name: str = Field(default="unet", pattern=NETWORK_PATTERN)
    """`unet`; `smp:Unet` and others of segmentation_models_pytorch; `timm:resnet18` and others of timm, with a decoder; or
    `module:factory` of the project, which is called with bands, classes and the options and gives a torch.nn.Module from images
    (N, bands, H, W) to logits (N, classes, H, W)."""
    width: int = Field(default=8, ge=1, le=256)
    """For `unet`: channels at full resolution."""
    depth: int = Field(default=3, ge=1, le=6)
    """For `unet`: number of levels; each halves height and width."""
    options: dict[str, Any] = Field(default_factory=dict)
    """For the others: keyword arguments of their constructor, such as encoder_name: resnet34. Nothing is downloaded unless
    encoder_weights names weights."""
    weights: InputPath | None = None
    """Initial weights: those of a trained model of this architecture, as .safetensors, .pt2, or .ckpt of a training."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _own_options(self) -> Network:
        if self.name == "unet" and self.options:
            raise mistake("are for other networks; unet has width and depth", at=("options",))
        given = {"width", "depth"} & self.model_fields_set
        if self.name != "unet" and given:
            raise mistake("is for unet; {name} has options", at=(min(given),), name=self.name)
        return self


class LossTerm(SpecModel):
    """One term of the loss. In YAML: its name, or a mapping."""

    short_schemas = ({"type": "string", "enum": ["cross_entropy", "focal", "dice"]},)

    name: Literal["cross_entropy", "focal", "dice"]
    weight: float = Field(default=1, gt=0)
    """Weight of this term in the sum."""
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    """Weights of the classes in cross_entropy and focal: equal, inverse to their frequency, or the list."""
    gamma: float = Field(default=2, ge=0)
    """Focusing parameter of focal loss: the larger it is, the smaller the weight of pixels that are classified well."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


def _parts(value: Any, info: Any) -> Any:
    """A single term as a list."""
    return value if isinstance(value, list | tuple) else [value]


Loss = Annotated[
    tuple[LossTerm, ...],
    Field(min_length=1),
    ShortForm(_parts, one=True),
]
"""The loss: one term or the sum of several. In YAML: a name, a mapping, or a list of mappings."""


class Augmentation(SpecModel):
    """Random augmentation of the images of each step. Numbers are in standard deviations of a band."""

    flips: bool = True
    """Mirror images horizontally and vertically."""
    turns: bool = True
    """Rotations by 90, 180 and 270 degrees."""
    gain: float = Field(default=0.1, ge=0, lt=1)
    """Standard deviation of a random factor around 1, the same for all bands of an image."""
    brightness: float = Field(default=0.1, ge=0)
    """Standard deviation of a random offset, the same for all bands of an image."""
    band_dropout: float = Field(default=0, ge=0, lt=1)
    """Share of bands that are set to their mean; never all bands of an image."""


class Optimizer(SpecModel):
    """AdamW with a one-cycle learning rate: it rises to its peak and falls to zero."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak of the learning rate."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(default=0.2, gt=0, lt=1)
    """Share of all steps before the peak."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; larger gradients are scaled down to it."""


class BestEpoch(SpecModel):
    """Which epoch's weights become the model. In YAML: the metric's name, or a mapping."""

    short_schemas = ({"type": "string", "description": "Name of the metric"},)

    metric: str = "mean_iou"
    """Metric on the whole validation split: mean_iou, accuracy, loss, or the name of a class for its IoU."""
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: epochs without improvement after which the training stops; never when not given."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value
