"""Checks a contract on a scene: what the network gets after scaling, and what it gives, on one window of real pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swath.errors import ImageryError
from swath.imagery.sources.find import find
from swath.imagery.sources.scene_units import check_units
from swath.maps.layout import plan_sheets
from swath.maps.resolution import resolution_note
from swath.maps.runtime_sample import read_sample
from swath.models.infer import masked_map, network_images, network_output
from swath.models.info import inspect
from swath.models.load import load_model
from swath.spec.fields.output import Output

if TYPE_CHECKING:
    from swath.models.contract import ModelInfo
    from swath.spec.fields.imagery import FilesImagery
    from swath.spec.fields.model import ModelRef

_USUAL = 20.0
"""Networks get numbers near 0: a mean further off is scaling that was forgotten, but for networks of whole numbers."""
_EDGE = 512


@dataclass(frozen=True)
class ContractCheck:
    """What a window of a scene showed."""

    info: ModelInfo
    inputs: tuple[tuple[str, float, float, float], ...]
    """(band, minimum, mean, maximum) of what the network gets, without invalid pixels."""
    outputs: tuple[tuple[str, float], ...]
    """(class, share of the window's valid pixels); for a map of values (band, mean)."""
    warnings: tuple[str, ...]


def check_contract(ref: ModelRef, imagery: FilesImagery) -> ContractCheck:
    """Load the network, measure it, and run it on a window of the imagery. Raises ModelError and ImageryError as a run would."""
    info = inspect(ref)
    contract = info.contract
    scenes = find(imagery, contract.bands)
    check_units((scenes,), physical=contract.units == "reflectance")
    regions = plan_sheets((scenes,), None, Output(to="unused"), None, halo=info.halo, stride=info.stride)
    sample = read_sample(regions, (scenes,), info, edge=_EDGE)
    if sample is None:
        raise ImageryError("the scene has no valid pixel in the windows that were tried", remedy="give another scene")
    here = sample.inner.within(sample.source)
    valid = sample.valid[here]
    scaled = network_images(info, sample.pixels[:, *here], valid)[0][:, : valid.shape[0], : valid.shape[1]][:, valid]
    inputs = tuple(
        (name, float(band.min()), float(band.mean()), float(band.max()))
        for name, band in zip(contract.bands, scaled, strict=True)
    )
    shape = (scenes.image.shape[0], scenes.image.shape[1])
    output = network_output(load_model(info), info, sample.pixels, sample.valid, sample.source, sample.inner, shape)
    values, known = masked_map(output, valid, contract)
    if contract.output == "classes":
        total = max(int(known.sum()), 1)
        outputs = tuple((each.name, float((values[0] == each.value).sum() / total)) for each in contract.classes)
    else:
        outputs = tuple(
            (f"value-{number + 1}", float(np.mean(band[known], dtype=np.float64))) for number, band in enumerate(values)
        )
    return ContractCheck(
        info, inputs, outputs, tuple(_warnings(info, inputs, outputs, resolution_note(contract, scenes.image)))
    )


def _warnings(
    info: ModelInfo,
    inputs: tuple[tuple[str, float, float, float], ...],
    outputs: tuple[tuple[str, float], ...],
    resolution: str,
) -> list[str]:
    found = [resolution] if resolution else []
    if not info.contract.axes.takes:
        found += [
            f"band {name} is {low:g} to {high:g} for the network, mean {mean:g}: value_scaling or swath:units may be wrong"
            for name, low, mean, high in inputs
            if abs(mean) > _USUAL
        ]
    found += [f"band {name} is {low:g} everywhere" for name, low, _, high in inputs if low == high]
    if info.contract.output == "classes":
        found += [
            f"every pixel is {name}: bands, their order or their scaling may be wrong"
            for name, share in outputs
            if share == 1
        ]
    return found
