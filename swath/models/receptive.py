"""Measure the receptive radius R and the total stride S of a network, by running it.

Nothing is read from the graph, so any format of weights can be measured. A stride S is one at which the network takes
images of any multiple of S and gives the same for a cropped image as for the whole one, away from the border. The radius
follows from setting one row (then one column) of the input to NaN: through convolutions, ReLU and pooling it reaches
exactly the outputs that depend on that row. onnxruntime may drop NaN on the way, so other values are tried as well. Rows
are probed on narrow images, which is cheap; each of the S rows of one stride is probed, as pixels at different positions of
the lattice are reached from different distances.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import ReceptiveField
from swath.models.network_axes import WHOLE_TYPES
from swath.models.predictor import ImagesRefused, Predictor
from swath.models.safety.training_mode import EVAL_REMEDY

FALLBACK_HALO = 64
"""Halo in pixels for models without a bound: results still differ at block borders, but less than without a halo."""

STRIDES = (1, 2, 4, 8, 16, 32, 64, 3, 5, 6, 7, 9, 10, 12, 14, 18, 20, 24, 28, 48, 56)
"""Total strides that are tried, in this order."""

_COMMON_SIDES = (
    512, 500, 480, 448, 416, 400, 384, 336, 320, 299, 288, 256, 240, 224, 192, 160, 128, 112, 96, 64, 513, 518, 520, 572, 600, 608, 640,
    672, 768, 800, 896, 1000, 1024,
)  # fmt: skip
"""Sides of square images, in pixels, that networks of one size are often made for. Those of several take the first of these."""

_MAX_LENGTH = 1024
"""Longest probe image in pixels; a model whose radius reaches all of it counts as one without a bound."""

_TOLERANCE = 1e-4
"""Difference relative to the largest output below which two results agree: rounding is below it, another result far above."""

_PROBE_VALUES = (np.nan, 1.0, -8.0, 64.0)
"""Factors of the noise in a changed line: NaN, and several magnitudes where NaN is dropped."""
_PROBE_SIDE = 32
_PROBE_SCALES = (1.0, 32.0, 1024.0)
"""Side of the images, and factors of noise and ramps, with which the range of outputs is looked at. Networks that were trained on
smooth images may give 0 for any noise."""
PROBABILITY_SLACK = 1e-3
"""A network that ends in softmax or sigmoid stays within 0..1 but for the last bits of its arithmetic, in half precision too."""
_MIN_BREADTH = 16
"""Least breadth of probe images in pixels."""


def measure_predictor(
    predictor: Predictor, bands: int, size: int = 0, likely: int = 0, *, votes: bool = False
) -> ReceptiveField:
    """Radius and stride of a network with so many input bands. `size` is the side of the only images that it takes, 0 where that is
    not known; `likely` is the side to try first where it does not take any size. `votes`: it gives class numbers, which need not
    change where a pixel reaches.

    Raises ModelError when the network takes none of the tried sizes, does not keep height and width, or gives another result for the
    same image.
    """
    predictor = _probed(predictor)
    if size:
        return _of_one_size(predictor, bands, size)
    refusal: ImagesRefused | None = None
    first: ReceptiveField | None = None
    for stride in STRIDES:
        try:
            smallest = _smallest(predictor, bands, stride)
        except ImagesRefused as error:
            refusal = refusal or error
            continue
        reason = _batch_dependence(predictor, bands, stride, smallest)
        if reason:
            return ReceptiveField(FALLBACK_HALO, stride, False, reason, smallest)
        if votes:
            reason = "the model gives class numbers, which do not show how far a pixel reaches"
            return ReceptiveField(FALLBACK_HALO, stride, False, reason, smallest)
        radius = _radius(predictor, bands, stride, smallest)
        if radius is None:
            layers = (
                ", ".join(getattr(predictor, "global_layers", ()))
                or "attention, or a norm or a pooling over the whole image"
            )
            reason = f"a pixel depends on all others, or on very distant ones ({layers})"
            return ReceptiveField(FALLBACK_HALO, stride, False, reason, smallest)
        if _crop_matches(predictor, bands, stride, radius, smallest):
            return ReceptiveField(radius, stride, True, "", smallest)
        first = first or ReceptiveField(
            max(radius, FALLBACK_HALO), stride, False, "results depend on where in the image a pixel is", smallest
        )
    if first is not None:
        return first
    for side in (likely, *_COMMON_SIDES) if likely else _COMMON_SIDES:
        with contextlib.suppress(ImagesRefused):
            return _of_one_size(predictor, bands, side)
    raise _size_error(refusal or ImagesRefused("no size was tried"), bands)


def _of_one_size(predictor: Predictor, bands: int, size: int) -> ReceptiveField:
    """For a network that takes square images of this side only: how far a pixel reaches is not measured. Raises ImagesRefused where it
    does not take these either."""
    layers = ", ".join(getattr(predictor, "global_layers", ()))
    reason = f"the model takes images of {size} x {size} pixels only" + (f" ({layers})" if layers else "")
    batch = _batch_dependence(predictor, bands, size, size)
    return ReceptiveField(FALLBACK_HALO, 1, False, f"{reason}; {batch}" if batch else reason, size, size=size)


def output_channels(predictor: Predictor, bands: int, size: int = 0) -> int:
    """How many channels a network with so many input bands gives; `size` as in ReceptiveField. Raises ModelError when it takes none
    of the tried sizes."""
    predictor = _probed(predictor)
    refusal: ImagesRefused | None = None
    for side in (size,) if size else (64, 256, 1024, 60, 168):
        try:
            return int(predictor(_noise(bands, side, side)).shape[1])
        except ImagesRefused as error:
            refusal = refusal or error
    raise _size_error(refusal or ImagesRefused("no size was tried"), bands)


def gives_probabilities(predictor: Predictor, bands: int, receptive: ReceptiveField) -> bool:
    """Whether all outputs for noise and ramps of several magnitudes are within 0..1 and differ from each other, as of networks that
    end in softmax or sigmoid, and hardly of logits."""
    predictor = _probed(predictor)
    side = receptive.size or receptive.stride * -(-max(receptive.smallest, _PROBE_SIDE) // receptive.stride)
    ramp = np.broadcast_to(np.linspace(-1, 1, side, dtype=np.float32)[:, None], (1, bands, side, side))
    images = [image * np.float32(scale) for scale in _PROBE_SCALES for image in (_noise(bands, side, side), ramp)]
    outputs = np.concatenate([predictor(image).ravel() for image in images])
    known = outputs[~np.isnan(outputs)]
    return bool(
        known.size
        and known.min() >= -PROBABILITY_SLACK
        and known.max() <= 1 + PROBABILITY_SLACK
        and np.ptp(known) > 1e-6
    )


def _size_error(refusal: ImagesRefused, bands: int) -> ModelError:
    """The error of a network that takes none of the sizes that were tried."""
    return ModelError(
        f"{refusal.message}; nor other sizes that were tried", remedy=refusal.remedy or _remedy(refusal, bands)
    )


class WholeNumberProbe:
    """A network of whole numbers as one that takes noise: brought to 0 to 255, around 128, and 0 for NaN."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.path = _name(predictor)
        self.global_layers: tuple[str, ...] = getattr(predictor, "global_layers", ())
        most = 127 if getattr(predictor, "input_dtype", "") == "int8" else 255
        self._middle, self._most = np.float32((most + 1) / 2), most

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = np.nan_to_num(images * (self._middle / 4) + self._middle, nan=0)
        return self._predictor(np.clip(np.rint(scaled), 0, self._most).astype(np.float32))


def _probed(predictor: Predictor) -> Predictor:
    whole = getattr(predictor, "input_dtype", "") in WHOLE_TYPES
    return WholeNumberProbe(predictor) if whole else predictor


def _name(predictor: Predictor) -> str:
    return str(getattr(predictor, "path", "the network"))


def _remedy(refusal: ImagesRefused, bands: int) -> str:
    text = refusal.message.partition("): ")[2].lower()
    if "channel" in text:
        return f"the contract names {bands} bands (mlm:input.0.bands); name those that the network takes, in its order"
    if any(word in text for word in ("dtype", "scalar type", "input type", "half", "data type")):
        return "export the network with an input and weights of float32"
    return "run the network on a float32 tensor of that shape where it was made, and export it again when it takes one"


def _smallest(predictor: Predictor, bands: int, stride: int) -> int:
    """The smallest side, found by doubling, of square images that the network takes; odd multiples of it must do too.

    Raises the network's own ImagesRefused when it takes none up to 256 pixels (or 4 strides).
    """
    side = stride
    while True:
        try:
            predictor(_noise(bands, side, side))
            break
        except ImagesRefused:
            side *= 2
            if side > max(256, 4 * stride):
                raise
    odd = side + stride
    predictor(_noise(bands, odd, odd + 2 * stride))
    return side


def _batch_dependence(predictor: Predictor, bands: int, stride: int, smallest: int) -> str:
    """Why the output depends on other images than one; empty when it does not. Raises ModelError when it depends on chance."""
    side = max(smallest, -(-32 // stride) * stride)
    image, other = _noise(bands, side, side), _noise(bands, side, side, seed=1)
    once = predictor(image)
    if not np.array_equal(once, predictor(image), equal_nan=True):
        raise ModelError(
            f"{_name(predictor)}: the same image gives different results: dropout is active, or random "
            "numbers are drawn, as in training",
            remedy=EVAL_REMEDY,
        )
    try:
        together = predictor(np.concatenate([image, other * 5]))
    except ImagesRefused:
        return ""  # takes one image at a time, so there is no batch to depend on
    return (
        ""
        if _close(once, together[:1])
        else "results depend on the other images of a batch (batch norm without running statistics?)"
    )


def _radius(predictor: Predictor, bands: int, stride: int, smallest: int) -> int | None:
    """The largest distance in rows or columns at which an input pixel changes an output pixel; None without a bound.

    One line of the longest image shows about how far (a dilated convolution may skip all that is near), and whether NaN
    reaches as far as numbers do; then every line of one stride is probed on an image that is just long enough.
    """
    breadth = max(smallest, -(-_MIN_BREADTH // stride) * stride)
    longest = _longest_probe(predictor, bands, stride, smallest, breadth)
    radius = 0
    for vertical in (True, False):
        about = _reach(predictor, bands, stride, (longest, breadth), vertical, 1, _PROBE_VALUES)
        if about is None:
            return None
        marked = _reach(predictor, bands, stride, (longest, breadth), vertical, 1, _PROBE_VALUES[:1])
        spreads = marked == about and not isinstance(predictor, WholeNumberProbe)
        values = _PROBE_VALUES[:1] if spreads else _PROBE_VALUES
        length = min(longest, max(smallest, 2 * -(-(about + 4 * stride) // stride) * stride))
        reach = _reach(predictor, bands, stride, (length, breadth), vertical, stride, values)
        while reach is None and length < longest:
            length = min(longest, 2 * length)
            reach = _reach(predictor, bands, stride, (length, breadth), vertical, stride, values)
        if reach is None:
            return None
        radius = max(radius, reach)
    return radius


def _longest_probe(predictor: Predictor, bands: int, stride: int, smallest: int, breadth: int) -> int:
    """Length of the longest probe image that the network takes in both orientations, a multiple of the stride and of `smallest`."""
    length = -(-_MAX_LENGTH // smallest) * smallest
    while length > smallest:
        try:
            predictor(_noise(bands, length, breadth))
            predictor(_noise(bands, breadth, length))
            break
        except ImagesRefused:
            length = max(smallest, length // 2 // stride * stride)
    return length


def _reach(
    predictor: Predictor,
    bands: int,
    stride: int,
    size: tuple[int, int],
    vertical: bool,
    lines: int,
    values: tuple[float, ...],
) -> int | None:
    """Largest distance at which a change of one of `lines` lines near the middle changes the output; None when the border is reached.

    `size` is (length, breadth) in pixels.
    """
    length = size[0]
    image = _noise(bands, *(size if vertical else size[::-1]))
    expected = predictor(image)
    middle = length // 2 // stride * stride
    reach = 0
    for line in range(middle, middle + lines):
        at = (..., line, slice(None)) if vertical else (..., line)
        for probe in _probes(image, at, values):
            output = predictor(probe)
            changed = (output != expected) & ~(np.isnan(output) & np.isnan(expected))
            positions = np.flatnonzero(changed.any(axis=(0, 1, 3 if vertical else 2)))
            if not positions.size:
                continue
            reach = max(reach, line - int(positions[0]), int(positions[-1]) - line)
            if positions[0] == 0 or positions[-1] == length - 1:
                return None
    return reach


def _probes(
    image: NDArray[np.float32], at: tuple[object, ...], values: tuple[float, ...]
) -> Iterator[NDArray[np.float32]]:
    """The image with one line changed: to NaN, and to noise of several magnitudes."""
    random = np.random.default_rng(7)
    for value in values:
        probe = image.copy()
        line = probe[at]  # type: ignore[index]
        line[...] = value * np.abs(random.standard_normal(line.shape, dtype=np.float32))
        yield probe


def _crop_matches(predictor: Predictor, bands: int, stride: int, radius: int, smallest: int) -> bool:
    """Whether a crop with that halo, one stride off, gives its middle as the whole image does."""
    halo = max(-(-radius // stride) * stride, smallest)
    inner = 2 * stride
    whole = _noise(bands, inner + 2 * halo + 2 * stride, inner + 2 * halo + 2 * stride)
    crop = np.ascontiguousarray(whole[..., stride:-stride, stride:-stride])
    middle = slice(halo, halo + inner)
    shifted = slice(halo + stride, halo + stride + inner)
    return _close(predictor(whole)[..., shifted, shifted], predictor(crop)[..., middle, middle])


def _close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    size = float(np.nanmax(np.abs(one), initial=0))
    return bool(np.allclose(one, other, rtol=0, atol=_TOLERANCE * max(size, 1e-6), equal_nan=True))


def _noise(bands: int, height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """An image (1, bands, height, width) of normal noise; every call of the same size gives the same."""
    return np.random.default_rng(seed).standard_normal((1, bands, height, width), dtype=np.float32)
