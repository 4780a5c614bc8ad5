"""Inference on one window: pixels through the network, the halo cut off, and what it gives turned into map values.

The same pixels give the same map values wherever the window's borders are: scaling uses the contract's numbers and nothing
measured on the window, and padding is what a pass over the whole image would have there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window
from swath.models.blend import blended
from swath.models.contract import DTYPE_RANGES, Contract, ModelInfo
from swath.models.declaration import channels_error
from swath.models.network_input import prepare
from swath.models.predictor import Predictor

_ROWS = 64
"""Channels are compared in so many rows at once, which stay in the processor's cache."""


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
    inner_valid = valid[inner.within(source)]
    if not inner_valid.any() and (contract.output == "classes" or contract.channels is not None):
        bands = 1 if contract.output == "classes" else contract.channels
        return np.full((bands or 1, *inner.shape), contract.nodata, contract.dtype), np.zeros(inner.shape, np.bool_)
    return masked_map(network_output(predictor, info, pixels, valid, source, inner), inner_valid, contract)


def masked_map(
    output: NDArray[np.float32], valid: NDArray[np.bool_], contract: Contract
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The network's output (channels, h, w), with `valid` (h, w), as `infer` returns it."""
    values = map_values(output, contract)
    if not valid.all():
        values[:, ~valid] = contract.nodata
    nodata = np.isnan(values) if np.isnan(contract.nodata) else values == contract.nodata
    return values, ~(nodata[0] if len(nodata) == 1 else nodata.all(axis=0))


def network_output(
    predictor: Predictor,
    info: ModelInfo,
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
    source: Window,
    inner: Window,
    image: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """The network's output (channels, h, w) inside `inner`. Arguments as in `infer`; a view, not to be written into.

    `image` is the whole image's (height, width), which only a network without a bounded receptive field needs: its tiles lie on a
    lattice of the image, and are blended (see swath.models.blend).
    """
    contract = info.contract
    if pixels.shape != (len(contract.bands), *source.shape) or valid.shape != source.shape:
        raise ValueError(
            f"pixels {pixels.shape} and valid {valid.shape} do not fit {len(contract.bands)} bands of {source}"
        )

    def run(window: Window) -> NDArray[np.float32]:
        at = window.within(source)
        images = network_images(info, pixels[:, *at], valid[at])
        output: NDArray[np.float32] = predictor(images)[0]
        _check_channels(output.shape[0], info)
        return output

    if info.lattice is not None:
        image_shape = image or (source.stop_row, source.stop_col)
        mixed = blended(run, info.lattice, valid, source, inner, image_shape)
        if mixed is None:
            raise ValueError(f"{inner} holds no valid pixel")
        return mixed
    view: NDArray[np.float32] = run(source)[:, *inner.within(source)]
    return view


def network_images(info: ModelInfo, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """One window (bands, H, W) as images (1, bands, H', W') of a size that the network takes: see prepare."""
    stride, smallest = (info.size, info.size) if info.size else (info.stride, info.smallest)
    return prepare(pixels[None], valid[None], info.contract.scaling, stride, smallest)


def map_values(output: NDArray[np.float32], contract: Contract) -> NDArray[Any]:
    """The network's output (channels, h, w) as values of the map (1 or channels, h, w); NaN becomes nodata."""
    if contract.output == "values":
        return _numbers(output, contract)
    threshold = contract.threshold
    if threshold is None:
        index, largest = _largest(output)
    else:
        index, largest = (output[0] >= np.float32(threshold)).view(np.uint8), output[0]
    class_values = [entry.value for entry in contract.classes]
    if class_values != list(range(len(class_values))) or contract.dtype != "uint8":
        index = np.array(class_values, contract.dtype)[index]
    if np.isnan(largest.max(initial=0)):
        index[np.isnan(largest)] = contract.nodata
    return index[None]


def _largest(output: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The channel with the largest value of each pixel, the lowest of equals, and that value: NaN where a channel is NaN.

    Much quicker than argmax: nothing but whole arrays is compared.
    """
    largest = np.empty(output.shape[1:], np.float32)
    index = np.zeros(output.shape[1:], np.uint8)
    for row in range(0, len(largest), _ROWS):
        rows = slice(row, row + _ROWS)
        most, which = largest[rows], index[rows]
        most[...] = output[0, rows]
        for channel in range(1, len(output)):
            other = np.ascontiguousarray(output[channel, rows])
            larger = other > most
            np.maximum(which, larger.view(np.uint8) * np.uint8(channel), out=which)
            np.maximum(most, other, out=most)
    return index, largest


def _numbers(output: NDArray[np.float32], contract: Contract) -> NDArray[Any]:
    """Numbers in the map's type: whole ones are rounded (halves to even), what does not fit is nodata."""
    low, high = DTYPE_RANGES[contract.dtype]
    numbers = output if contract.dtype == "float32" else np.rint(output.astype(np.float64))
    fits = (numbers >= low) & (numbers <= high)  # NaN and infinities are in no range
    return np.where(fits, numbers, contract.nodata).astype(contract.dtype)


def _check_channels(given: int, info: ModelInfo) -> None:
    expected = info.contract.expected_channels
    if expected is not None and given != expected:
        raise channels_error(info.path, given, expected)
