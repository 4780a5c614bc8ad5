"""How far a function of the project looks: its author says it, and images are changed beyond that distance to find that it is wrong.

A network's reach is measured, as its layers react to any number. A function may have thresholds and searches that noise does not
set off, so its author's word counts, and what is found here can only refute it: a change that reaches farther, another result for
the same block, or for the same pixels in a block that begins elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import UNBOUNDED, ReceptiveField
from swath.models.predictor import Predictor
from swath.models.receptive import FALLBACK_HALO

_SCALES = (1.0, 255.0, 10000.0)
"""Of the probe images: reflectance, bytes, and the numbers of satellites."""
_BEYOND = 24
"""Pixels of a probe image that lie beyond the declared radius, on each side."""
_TOLERANCE = 1e-4
"""Difference relative to the largest output below which two results agree: sums that run over a row differ in the last bits."""
_OFFSETS = ((1, 0), (0, 1), (2, 3))
"""Rows and columns that are cut off at the top and the left, so that a block begins elsewhere."""


def probe_function(predictor: Predictor, name: str, bands: int, radius: int) -> ReceptiveField:
    """The receptive field that a function's author declares. Raises ModelError when a probe shows that it looks farther."""
    predictor = _with_test_images(predictor)
    if radius == UNBOUNDED:
        image = next(_images(bands, 2 * FALLBACK_HALO))
        _check_same(predictor, name, image)
        return ReceptiveField(FALLBACK_HALO, 1, False, "the project says that its function looks at the whole block")
    for image in _images(bands, 2 * (radius + _BEYOND) + 1):
        whole = _check_same(predictor, name, image)
        if (reach := _reach(predictor, image, whole, radius)) > radius:
            raise ModelError(
                f"{name}: a pixel changes the result {reach} pixels away, and the spec says radius: {radius}",
                remedy=f"set model.radius to how far the function looks ({reach} or more), or to unbounded",
            )
        _check_places(predictor, name, image, whole, radius)
    return ReceptiveField(radius, 1, True)


def _with_test_images(predictor: Predictor) -> Predictor:
    """The predictor, whose errors say what its images were."""

    def called(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return predictor(images)
        except ModelError as error:
            told = (
                f"this was a test image, before any imagery, with numbers from {images.min():.4g} to {images.max():.4g}: the "
                "function must take any numbers"
            )
            error.remedy = f"{error.remedy}; {told}" if error.remedy else told
            raise

    return called


def _images(bands: int, side: int) -> Iterator[NDArray[np.float32]]:
    """Images (1, bands, side, side): noise of several magnitudes, steps between even areas, and noise below and above 0."""
    random = np.random.default_rng(3)
    for scale in _SCALES:
        yield random.random((1, bands, side, side), np.float32) * np.float32(scale)
        areas = random.random((1, bands, -(-side // 8), -(-side // 8)), np.float32) * np.float32(scale)
        yield np.kron(areas, np.ones((1, 1, 8, 8), np.float32))[..., :side, :side]
    yield random.standard_normal((1, bands, side, side), np.float32)


def _check_same(predictor: Predictor, name: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The result. Raises ModelError where the same image gives another one."""
    whole, again = predictor(image), predictor(image)
    if _differs(whole, again, _size(whole)).any():
        raise ModelError(
            f"{name}: gives another result for the same block",
            remedy="take away what is random, or seed it, and keep nothing from call to call",
        )
    return whole


def _reach(predictor: Predictor, image: NDArray[np.float32], whole: NDArray[np.float32], radius: int) -> int:
    """Largest distance at which a change of a row, a column or the lines beyond the radius changes the output."""
    middle, reach = image.shape[-1] // 2, 0
    size = _size(whole)
    for factor in (0.0, 1.5, -8.0):
        for axis in (2, 3):
            lines = np.moveaxis(image.copy(), axis, 0)
            lines[middle] = lines[middle][..., ::-1] * np.float32(factor)
            changed = _differs(predictor(np.moveaxis(lines, 0, axis)), whole, size)
            places = np.flatnonzero(changed.any(axis=tuple({0, 1, 2, 3} - {axis})))
            if places.size:
                reach = max(reach, middle - int(places[0]), int(places[-1]) - middle)
        far = (
            image.copy()
        )  # all that the middle pixel must not see, at once: what counts or sums sees little of one line
        near = slice(middle - radius, middle + radius + 1)
        far[...] = image[..., ::-1, ::-1] * np.float32(factor)
        far[..., near, near] = image[..., near, near]
        if _differs(predictor(far)[..., middle, middle], whole[..., middle, middle], size).any():
            reach = max(reach, radius + 1)
    return reach


def _check_places(
    predictor: Predictor, name: str, image: NDArray[np.float32], whole: NDArray[np.float32], radius: int
) -> None:
    """Raise ModelError where a part of the image gives other results away from its border than the whole image does."""
    side = image.shape[-1]
    for down, right in _OFFSETS:
        part = predictor(np.ascontiguousarray(image[..., down:, right:]))
        inner = (..., slice(radius, side - down - radius), slice(radius, side - right - radius))
        expected = whole[..., down:, right:]
        if _differs(part[inner], expected[inner], _size(whole)).any():
            raise ModelError(
                f"{name}: the same pixels give another result in a block that begins {down} rows and {right} columns later",
                remedy="use no numbers of the block (its mean, its largest pixel, its raster), or set model.radius to unbounded",
            )


def _differs(one: NDArray[np.float32], other: NDArray[np.float32], size: float) -> NDArray[np.bool_]:
    both_nan = np.isnan(one) & np.isnan(other)
    with np.errstate(invalid="ignore"):
        close = np.abs(one - other) <= _TOLERANCE * size
    differs: NDArray[np.bool_] = ~(close | both_nan | (one == other))
    return differs


def _size(output: NDArray[np.float32]) -> float:
    known = np.abs(output[np.isfinite(output)])
    return max(float(known.max(initial=0)), 1e-6)
