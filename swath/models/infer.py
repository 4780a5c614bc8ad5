"""From pixels to a piece of the map: scale, pad, run the network, cut off the halo, decide each pixel.

The same pixels give the same piece wherever the piece's borders are: scaling uses the contract's numbers and nothing
measured on the piece, and padding is what a pass over the whole image would have there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.geo import Window
from swath.models.blend import blended
from swath.models.contract import Contract, ModelInfo
from swath.models.contract_file import RANGES
from swath.models.load import Predictor

_ROWS = 64
"""Channels are compared in so many rows at once, which stay in the processor's cache."""
FILL = np.float32(0)
"""What the network sees, after scaling, where there is no valid pixel and beyond the image's lower and right edges."""


def infer(
    predictor: Predictor,
    info: ModelInfo,
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
    source: Window,
    inner: Window,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The map inside `inner`, from pixels of `source`.

    `pixels` (bands, H, W) of any number type, in the contract's units; `valid` (H, W). Both cover `source`, whose origin
    is a multiple of the model's stride on the image grid and which ends at a multiple of it or at the image's true edge.

    Returns the map (1 or channels, h, w) in the contract's dtype with nodata in place, and (h, w): where it holds
    something other than nodata in some band. Raises ModelError when the network does not do what its contract says.
    """
    contract = info.contract
    here = inner.within(source)
    kept = valid[here]
    if not kept.any() and (contract.output == "classes" or contract.channels is not None):
        bands = 1 if contract.output == "classes" else contract.channels
        return np.full((bands or 1, *inner.shape), contract.nodata, contract.dtype), np.zeros(inner.shape, np.bool_)
    return finish(logits(predictor, info, pixels, valid, source, inner), kept, contract)


def finish(
    output: NDArray[np.float32], kept: NDArray[np.bool_], contract: Contract
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """What the network gives (channels, h, w) and where there is a pixel (h, w), to what `infer` returns."""
    decided = decide(output, contract)
    if not kept.all():
        decided[:, ~kept] = contract.nodata
    nothing = np.isnan(decided) if np.isnan(contract.nodata) else decided == contract.nodata
    return decided, ~(nothing[0] if len(nothing) == 1 else nothing.all(axis=0))


def logits(
    predictor: Predictor,
    info: ModelInfo,
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
    source: Window,
    inner: Window,
    image: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """What the network gives (channels, h, w) inside `inner`. Arguments as in `infer`; a view, not to be written into.

    `image` is the whole image's (height, width), which only a network without a bound needs: its tiles lie on a lattice of
    the image, and are blended (see swath.models.blend).
    """
    contract = info.contract
    if pixels.shape != (len(contract.bands), *source.shape) or valid.shape != source.shape:
        raise ValueError(
            f"pixels {pixels.shape} and valid {valid.shape} do not fit {len(contract.bands)} bands of {source}"
        )

    def run(window: Window) -> NDArray[np.float32]:
        at = window.within(source)
        given = predictor(prepare(pixels[:, *at], valid[at], contract, info.stride))[0]
        _check_channels(given.shape[0], info)
        said: NDArray[np.float32] = given
        return said

    if info.lattice is not None:
        around = image or (source.stop_row, source.stop_col)
        mixed = blended(run, info.lattice, valid, source, inner, around)
        if mixed is None:
            raise ValueError(f"{inner} holds no valid pixel")
        return mixed
    output = run(source)
    here: NDArray[np.float32] = output[:, *inner.within(source)]
    return here


def prepare(pixels: NDArray[Any], valid: NDArray[np.bool_], contract: Contract, stride: int) -> NDArray[np.float32]:
    """What the network sees: (1, bands, H, W), scaled, FILL where there is no valid pixel, and filled up at the bottom and
    the right to multiples of `stride`. Its memory is pixel by pixel (channels last), as torch wants it."""
    height, width = (-(-length // stride) * stride for length in valid.shape)
    everywhere = bool(valid.all())
    # The one image is an axis of the array as well: `[None]` has a stride of 0, with which torch does not see the order of the
    # memory, and convolutions take up to twice as long.
    shape = (1, height, width, len(pixels))
    images = np.empty(shape, np.float32) if everywhere and (height, width) == valid.shape else np.full(shape, FILL)
    for number in range(len(pixels)):
        target = images[0, : valid.shape[0], : valid.shape[1], number]
        if everywhere:
            _scale_into(target, pixels, number, contract)
        else:
            np.copyto(target, _scaled(pixels, number, contract), where=valid)
    seen: NDArray[np.float32] = images.transpose(0, 3, 1, 2)
    return seen


def scale(pixels: NDArray[Any], contract: Contract) -> NDArray[np.float32]:
    """Pixels (bands, H, W) in the contract's units to what the network takes, in float32."""
    return np.stack([_scaled(pixels, number, contract) for number in range(len(pixels))])


def _scaled(pixels: NDArray[Any], number: int, contract: Contract) -> NDArray[np.float32]:
    """One band, scaled."""
    band: NDArray[np.float32] = pixels[number].astype(np.float32)
    if (step := _step(number, contract)) is not None:
        _scale_band(band, step)
    return band


def _scale_into(target: NDArray[np.float32], pixels: NDArray[Any], number: int, contract: Contract) -> None:
    """One band, scaled, into memory that need not be in one piece: at once where that is a division."""
    step = _step(number, contract)
    if step is not None and step.get("type") == "scale":
        np.true_divide(pixels[number], np.float32(step["value"]), out=target, dtype=np.float32, casting="unsafe")
    else:
        target[...] = _scaled(pixels, number, contract)


def _step(number: int, contract: Contract) -> dict[str, Any] | None:
    """How a band is scaled."""
    steps = contract.scaling if len(contract.scaling) != 1 else contract.scaling * len(contract.bands)
    return steps[number] if number < len(steps) else None


def _scale_band(band: NDArray[np.float32], step: dict[str, Any]) -> None:
    number = {key: np.float32(value) for key, value in step.items() if key not in ("type", "format", "expression")}
    match step.get("type"):
        case "min-max":
            band -= number["minimum"]
            band /= number["maximum"] - number["minimum"]
        case "z-score":
            band -= number["mean"]
            band /= number["stddev"]
        case "clip":
            np.clip(band, number["minimum"], number["maximum"], out=band)
        case "clip-min":
            np.maximum(band, number["minimum"], out=band)
        case "clip-max":
            np.minimum(band, number["maximum"], out=band)
        case "offset":
            band -= number["value"]
        case "scale":
            band /= number["value"]
        case None:
            pass
        case kind:
            raise ModelError(f"value scaling {kind!r} cannot be applied", remedy="put it into the model")


def decide(output: NDArray[np.float32], contract: Contract) -> NDArray[Any]:
    """What the network gives (channels, h, w) to the map (1 or channels, h, w); NaN becomes nodata."""
    if contract.output == "values":
        return _values(output, contract)
    threshold = contract.threshold
    if threshold is None:
        number, best = _largest(output)
    else:
        number, best = (output[0] >= np.float32(threshold)).view(np.uint8), output[0]
    values = [entry.value for entry in contract.classes]
    if values != list(range(len(values))) or contract.dtype != "uint8":
        number = np.array(values, contract.dtype)[number]
    if np.isnan(best.max(initial=0)):
        number[np.isnan(best)] = contract.nodata
    return number[None]


def _largest(output: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The channel with the largest value of each pixel, the lowest of equals, and that value: NaN where a channel is NaN.

    Much quicker than argmax: nothing but whole arrays is compared.
    """
    best = np.empty(output.shape[1:], np.float32)
    number = np.zeros(output.shape[1:], np.uint8)
    for row in range(0, len(best), _ROWS):
        rows = slice(row, row + _ROWS)
        most, which = best[rows], number[rows]
        most[...] = output[0, rows]
        for channel in range(1, len(output)):
            other = np.ascontiguousarray(output[channel, rows])
            larger = other > most
            np.maximum(which, larger.view(np.uint8) * np.uint8(channel), out=which)
            np.maximum(most, other, out=most)
    return number, best


def _values(output: NDArray[np.float32], contract: Contract) -> NDArray[Any]:
    """Numbers in the map's type: whole ones are rounded (halves to even), what does not fit is nodata."""
    low, high = RANGES[contract.dtype]
    numbers = output if contract.dtype == "float32" else np.rint(output.astype(np.float64))
    fits = (numbers >= low) & (numbers <= high)  # NaN and infinities are in no range
    return np.where(fits, numbers, contract.nodata).astype(contract.dtype)


def _check_channels(given: int, info: ModelInfo) -> None:
    contract = info.contract
    if contract.output == "classes":
        expected = 1 if contract.threshold is not None else len(contract.classes)
    else:
        expected = contract.channels or given
    if given != expected:
        remedy = "one channel for two classes needs swath:threshold" if given == 1 else "correct the contract's classes"
        raise ModelError(
            f"{info.path}: the model gives {given} channels, but its contract says {expected}", remedy=remedy
        )
