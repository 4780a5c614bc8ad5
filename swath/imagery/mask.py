"""Quality masks: names of Sentinel-2 scene classes and Landsat QA_PIXEL flags, and the pixels that they reject."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ImageryError

if TYPE_CHECKING:
    from swath.spec.fields import Mask

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


def check(mask: Mask) -> None:
    """Raise ImageryError when `mask` names a flag that its kind does not have."""
    known = SCL if mask.kind == "scl" else QA_PIXEL
    for name in mask.reject:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ImageryError(
                f"imagery.mask.reject: {mask.kind} has no {name!r}{hint}", remedy=f"It has: {', '.join(known)}."
            )


def usable(mask: Mask, values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True where the quality values do not reject a pixel. Same shape as `values`.

    Pixels without a quality (SCL 0, the QA_PIXEL fill bit) are never usable: nobody looked at them.
    """
    check(mask)
    if mask.kind == "scl":
        rejected = {0}.union(*(SCL[name] for name in mask.reject))
        return np.isin(values, sorted(rejected), invert=True)
    bits = 1
    for name in mask.reject:
        bits |= 1 << QA_PIXEL[name]
    clean: NDArray[np.bool_] = (values.astype(np.int64) & bits) == 0
    return clean
