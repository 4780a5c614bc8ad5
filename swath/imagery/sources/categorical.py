"""Which bands hold flags or classes: by the names of well-known products, by STAC metadata, by a colour table, or by the spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from swath.errors import ImageryError

CATEGORICAL_FIELD = "swath:categorical"
"""Field of a STAC band that swath writes for a band of flags or classes."""

_PRODUCTS = re.compile(
    # Sentinel-2 (SCL, QA60, CLM, classes of sen2cor), Landsat, HLS, DEA
    r"scl|qa60|clm|msk_(classi|qualit|detfoo|quality)\w*|(pixel|radsat|sr|sr_cloud|sr_aerosol)_qa|sr_qa_aerosol|sr_cloud_qa|sr_aerosol"
    r"|qa_(pixel|radsat|aerosol)|bqa|[a-z]*_?c?fmask"
    # MODIS, VIIRS
    r"|(sur_refl_)?(state|qc)_\d+k?m|(state|detailed|summary|lst)_?qa|qc(_day|_night)?|pixel_?reliability|lc_(type|prop)\d|qf\d"
    # land cover: Dynamic World, WorldCover and others; Planet
    r"|label|labels|lulc|land_?cover|land_?use|world_?cover|cropland|udm2?|data_?mask"
)
_WORDS = {"qa", "qc", "flag", "flags", "bitmask", "mask", "class", "classes", "classification", "quality"}
_CONTINUOUS = {"prob", "probability", "probabilities", "confidence", "uncertainty", "score", "st"}
"""A name with one of these words, such as cloud_mask_probability or Landsat's ST_QA (kelvin), is of a measured band."""
_ENDING = re.compile(
    r"(?:^|[._-])(scl|qa60|qa_pixel|qa_radsat|sr_qa_aerosol|bqa|fmask|pixel_qa|radsat_qa|clm|udm2?|lulc|land_?cover|cloud_?mask)(?:[._-]\d+m)?$",
    re.I,
)
_ROLES = {"data-mask", "saturation", "cloud-shadow", "water-mask", "land-water"}


def is_categorical_name(name: str) -> bool:
    """Whether a band of this name holds flags or classes: QA_PIXEL, SCL, Fmask, state_1km, label ..."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
    words = set(plain.split("_"))
    if words & _CONTINUOUS:
        return False
    return any(word in _WORDS or word.endswith("mask") for word in words) or any(
        _PRODUCTS.fullmatch(each) for each in (plain, plain.replace("_", ""), name.lower())
    )


def is_categorical_file(stem: str) -> bool:
    """Whether the only band of a file of this name (without suffix) holds flags or classes: ..._QA_PIXEL, ..._SCL_20m."""
    return _ENDING.search(stem) is not None


def states_categories(fields: Mapping[str, Any]) -> bool:
    """Whether the STAC fields of an asset or a band describe flags or classes."""
    roles = fields.get("roles")
    return (
        any(fields.get(each) for each in ("classification:bitfields", "classification:classes", "file:values"))
        or fields.get(CATEGORICAL_FIELD) is True
        or (isinstance(roles, list) and not _ROLES.isdisjoint(str(role) for role in roles))
    )


def is_listed(categorical: Iterable[str | int], *names: str | int) -> bool:
    """Whether the spec's list `categorical` has one of a band's names, or its number."""
    listed = {str(each).lower() for each in categorical}
    return any(str(name).lower() in listed for name in names)


def check_listed(categorical: Iterable[str | int], bands: Iterable[str | int]) -> None:
    """Raises ImageryError when the spec's list `categorical` has a band that is not read."""
    known = {str(band).lower(): str(band) for band in bands}
    for each in categorical:
        if str(each).lower() not in known:
            near = get_close_matches(str(each).lower(), list(known), 1)
            hint = f" (did you mean {known[near[0]]}?)" if near else ""
            raise ImageryError(
                f"imagery.categorical: {each!r} is none of the bands that are read{hint}",
                remedy=f"They are: {', '.join(known.values())}.",
            )
