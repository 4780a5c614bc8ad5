"""Quality masks: the names of Sentinel-2 scene classes, Landsat QA_PIXEL and HLS Fmask flags, and which pixels they reject."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ImageryError

if TYPE_CHECKING:
    from swath.spec.fields.imagery import Mask

SCL: dict[str, tuple[int, ...]] = {
    "no_data": (0,),
    "saturated": (1,),
    "dark": (2,),
    "cloud_shadow": (3,),
    "vegetation": (4,),
    "not_vegetated": (5,),
    "water": (6,),
    "unclassified": (7,),
    "cloud_medium": (8,),
    "cloud_high": (9,),
    "cirrus": (10,),
    "snow": (11,),
    "cloud": (8, 9),
}
"""Names of Sentinel-2 L2A scene classes; `cloud` is medium and high probability together."""

QA_PIXEL: dict[str, int] = {
    "fill": 0,
    "dilated_cloud": 1,
    "cirrus": 2,
    "cloud": 3,
    "cloud_shadow": 4,
    "snow": 5,
    "clear": 6,
    "water": 7,
}
"""Names of the bits of Landsat Collection 2 QA_PIXEL."""


FMASK: dict[str, int] = {
    "cirrus": 0,
    "cloud": 1,
    "adjacent": 2,
    "cloud_shadow": 3,
    "snow": 4,
    "water": 5,
}
"""Names of the bits of Fmask in Harmonized Landsat and Sentinel-2 (HLS 2.0); `adjacent` is to cloud or its shadow. Bits 6 and 7
are one number, the aerosol level: see AEROSOL."""

AEROSOL: dict[str, int] = {"aerosol_low": 1, "aerosol_moderate": 2, "aerosol_high": 3}
"""Names of HLS Fmask's aerosol levels."""

_FMASK_FILL = 255
_KNOWN: dict[str, tuple[str, ...]] = {"scl": (*SCL,), "qa_pixel": (*QA_PIXEL,), "fmask": (*FMASK, *AEROSOL)}


_BANDS = {
    "scl": "scl",
    "qa_pixel": "qa_pixel",
    "fmask": "fmask",
    "pixel_qa": "the flags of Landsat Collection 1",
    "bqa": "the flags of Landsat Collection 1",
    "oa_fmask": "the class numbers of Digital Earth Australia",
    "cfmask": "the class numbers of CFMask",
    "qa60": "the cloud bits of Sentinel-2 L1C",
}
"""Well-known bands, with their kind of mask, or with what they hold instead."""


def check_mask(mask: Mask) -> None:
    """Raise ImageryError when `mask` rejects a name that its kind does not have, or when its band is known to be of another kind."""
    holds = _BANDS.get(mask.band.rpartition(":")[2].lower(), mask.kind)
    if holds != mask.kind:
        instead = f"kind {holds}" if holds in _KNOWN else "no mask, or a band of one of these kinds"
        raise ImageryError(
            f"imagery.mask: kind is {mask.kind}, and band {mask.band} holds {holds}",
            remedy=f"Kinds are scl (Sentinel-2 L2A), qa_pixel (Landsat Collection 2) and fmask (HLS): give {instead}.",
        )
    known = _KNOWN[mask.kind]
    for name in mask.reject:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ImageryError(
                f"imagery.mask.reject: {mask.kind} has no {name!r}{hint}", remedy=f"It has: {', '.join(known)}."
            )


def usable(mask: Mask, values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """True where the quality values do not reject a pixel. Same shape as `values`.

    Pixels without a quality value (SCL 0, the QA_PIXEL fill bit, Fmask 255) are never usable.
    """
    check_mask(mask)
    if values.dtype in (np.uint8, np.uint16):
        found: NDArray[np.bool_] = _table(mask.kind, mask.reject, values.dtype.itemsize)[values]
        return found
    return _usable(mask.kind, mask.reject, values.astype(np.int64))


def has_quality(mask: Mask, values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """True where there is a quality value at all. Same shape as `values`."""
    return usable(mask.model_copy(update={"reject": ()}), values)


@lru_cache(maxsize=32)
def _table(kind: str, reject: tuple[str, ...], size: int) -> NDArray[np.bool_]:
    """`_usable` for every unsigned integer of `size` bytes."""
    return _usable(kind, reject, np.arange(256**size))


def _usable(kind: str, reject: tuple[str, ...], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    if kind == "scl":
        return np.isin(values, sorted({0}.union(*(SCL[name] for name in reject))), invert=True)
    flags = QA_PIXEL if kind == "qa_pixel" else FMASK
    bits = sum(1 << flags[name] for name in set(reject) if name in flags)
    if kind == "qa_pixel":
        clean: NDArray[np.bool_] = (values & (bits | 1)) == 0
        return clean
    levels = [AEROSOL[name] for name in reject if name in AEROSOL]
    clean = (values != _FMASK_FILL) & ((values & bits) == 0)
    return clean & np.isin((values >> 6) & 3, levels, invert=True)
