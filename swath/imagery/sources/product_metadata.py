"""Sentinel-2 SAFE folders and Landsat Collection 2 folders: what their metadata and names say of scale, offset, time and clouds.

A file of a band that lies in such a product gets the numbers of the product's own metadata (MTD_MSIL1C.xml, MTD_MSIL2A.xml; *_MTL.xml,
*_MTL.json). Without that file, or in a bucket, the product's name says the processing baseline and the level. Where the two contradict
each other, or a baseline that has an offset states none, nothing is guessed: it is an error. Files whose pixels are of another type
than the product's were computed from them, and get no scale.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

from swath.errors import ImageryError
from swath.imagery.sources.radiometry import BOA_OFFSET, with_overrides
from swath.storage.address import local_path, redacted, scheme

if TYPE_CHECKING:
    from swath.imagery.scene import Band
    from swath.spec.fields.imagery import FilesImagery

_SAFE = re.compile(r"(S2[A-D])_MSIL(1C|2A)_(\d{8}T\d{6})_N(\d\d)(\d\d)_R\d{3}_T\w{5}_\d{8}T\d{6}\.SAFE", re.IGNORECASE)
_TILE_FILE = re.compile(r"(?:L2A_)?T\d\d[A-Z]{3}_\d{8}T\d{6}_(B\d\d|B8A)(?:_[126]0m)?\.", re.IGNORECASE)
_LANDSAT = re.compile(r"(L[CEOT]0\d_L(1|2)[A-Z]{2}_\d{6}_(\d{8})_\d{8}_02_(?:T1|T2|RT))_(\w+)\.TIFF?", re.IGNORECASE)
_S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""By the band_id of the metadata."""
_SURFACE = {"SR": (2.75e-05, -0.2), "ST": (0.00341802, 149.0)}
_MAX_BYTES = 16 << 20
_BY_USER = (99, 99)
"""Baseline of products that a user made with Sen2Cor: it says nothing of an offset, and their metadata do."""


@dataclass(frozen=True)
class ProductMetadata:
    """What a product says of its files."""

    id: str
    stated: str
    """Where it says so, for messages: its metadata file, or its name."""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """(scale, offset) by the name of the band in capitals."""
    datetime: str | None = None
    cloud_cover: float | None = None
    dtypes: tuple[str, ...] = ("uint16",)
    """Of the product's pixels."""
    band: str = ""
    """Name of the band in the file's own name; empty where that is not known."""

    def described(self, band: Band, imagery: FilesImagery, notes: list[str]) -> Band:
        """The band with the product's scale, offset and nodata. Those of the spec count more, and a note says where they differ."""
        own = self.scales.get(self.band or band.name.upper())
        if own is None or band.categorical:
            return band
        by_spec = imagery.scale is not None or imagery.offset is not None
        if band.dtype not in self.dtypes:
            if not by_spec:
                notes.append(
                    f"{redacted(band.href)}: its pixels are {band.dtype}, and those of {self.id} are {self.dtypes[-1]}: they were "
                    f"computed from them, and have no scale by {self.stated}; imagery.scale and imagery.offset say it"
                )
            return band
        if not by_spec and band.scale is not None and not _alike((band.scale, band.offset), own):
            raise ImageryError(
                f"{redacted(band.href)}: the file says number * {band.scale:g} + {band.offset or 0:g}, and {self.stated} says number * "
                f"{own[0]:g} + {own[1]:g}",
                remedy="Set imagery.scale and imagery.offset to those that the numbers have.",
            )
        scale, offset = with_overrides(imagery.scale, imagery.offset, *own)
        if not _alike((scale, offset), own):
            notes.append(
                f"{self.id}: the spec says number * {scale:g} + {offset:g} for band {band.name}, and {self.stated} says number * "
                f"{own[0]:g} + {own[1]:g}; the spec's are used"
            )
        nodata = 0.0 if band.nodata is None else band.nodata
        return replace(band, scale=scale, offset=offset, nodata=nodata)


def product_of(href: str, notes: list[str]) -> ProductMetadata | None:
    """The product in which a file of a band lies; None for a file of no such product. Raises ImageryError where its metadata
    cannot be read or contradict its name."""
    path = PurePosixPath(str(local_path(href)) if scheme(href) == "file" else redacted(href))
    local = scheme(href) == "file"
    for inside, folder in pairwise((path, *path.parents)):
        is_product = folder.name.upper().endswith(".SAFE") or inside.name == "GRANULE"
        if is_product and (product := _sentinel2(folder, local)) is not None:
            tile = _TILE_FILE.match(path.name)
            return replace(product, band=tile[1].upper()) if tile else product
    if found := _LANDSAT.fullmatch(path.name):
        product = _landsat(path.parent / found[1], found[1], int(found[2]), found[3], local)
        if not product.scales:
            notes.append(
                f"{found[1]}: neither {found[1]}_MTL.xml nor its .json is beside its files: their scale is not known"
            )
        return replace(product, band=found[4].upper())
    if _TILE_FILE.match(path.name):
        notes.append(
            f"{redacted(href)}: a file of Sentinel-2 without the metadata and the name of its .SAFE folder: its processing baseline is "
            f"not known; since 04.00 {BOA_OFFSET} is added to the numbers: imagery.offset must say it where physical values are needed"
        )
    return None


def _sentinel2(folder: PurePosixPath, local: bool) -> ProductMetadata | None:
    named = _SAFE.fullmatch(folder.name)
    files = [Path(folder, f"MTD_MSI{level}.xml") for level in ("L2A", "L1C")] if local else []
    files += sorted(Path(folder).glob("S2?_OPER_MTD_SAFL1C_*.xml")) if local else []  # before December 2016
    file = next((each for each in files if each.is_file()), None)
    by_name = (int(named[4]), int(named[5])) if named else None
    if file is None:
        if by_name is None or by_name == _BY_USER:
            return None
        offset = -BOA_OFFSET * 1e-4 if by_name >= (4, 0) else 0.0
        scales = dict.fromkeys(_S2_BANDS, (0.0001, offset))
        when = named[3] if named else ""
        return ProductMetadata(folder.stem, f"its name (baseline {_version(by_name)})", scales, _moment(when))
    root = _xml(file)
    texts = {_tag(each): (each.text or "").strip() for each in root.iter()}
    baseline = _baseline(texts.get("PROCESSING_BASELINE", ""), file)
    if by_name is not None and by_name not in (baseline, _BY_USER):
        raise _contradiction(
            file, f"processing baseline {_version(baseline)}, and the folder's name {_version(by_name)}"
        )
    level = "BOA" if file.name == "MTD_MSIL2A.xml" else "RADIO"
    name = "BOA_QUANTIFICATION_VALUE" if level == "BOA" else "QUANTIFICATION_VALUE"
    quantification = _number(texts, f"L2A_{name}" if f"L2A_{name}" in texts else name, file)  # the former in early ones
    offsets = dict.fromkeys(_S2_BANDS, 0.0)
    listed = [each for each in root.iter() if _tag(each) == f"{level}_ADD_OFFSET"]
    for each in listed:
        number = each.get("band_id", "")
        if not number.isdecimal() or int(number) >= len(_S2_BANDS):
            raise ImageryError(
                f"{file}: an offset of band_id {number!r}, which no band has", remedy="Fetch the file again."
            )
        offsets[_S2_BANDS[int(number)]] = _finite(each.text or "", f"{level}_ADD_OFFSET", file)
    if baseline != _BY_USER and bool(listed) != (baseline >= (4, 0)):
        what = "no offsets" if not listed else "offsets"
        raise _contradiction(file, f"processing baseline {_version(baseline)} and {what}")
    scales = {band: (1 / quantification, offset / quantification) for band, offset in offsets.items()}
    return ProductMetadata(
        folder.stem, file.name, scales, _time(texts.get("PRODUCT_START_TIME", ""), "PRODUCT_START_TIME", file),
        _cloud(texts, "Cloud_Coverage_Assessment", file),
    )  # fmt: skip


def _landsat(stem: PurePosixPath, identity: str, level: int, day: str, local: bool) -> ProductMetadata:
    files = [Path(f"{stem}_MTL{ending}") for ending in (".xml", ".json")] if local else []
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        scales = {}
        if level == 2:
            scales = {f"SR_B{number}": _SURFACE["SR"] for number in range(1, 8)}
            scales |= {f"ST_B{number}": _SURFACE["ST"] for number in (6, 10)}
        return ProductMetadata(identity, "its name (Collection 2, Level 2)", scales, _moment(f"{day}T000000"))
    groups = _groups(file)
    contents, image = groups.get("PRODUCT_CONTENTS", {}), groups.get("IMAGE_ATTRIBUTES", {})
    if contents.get("LANDSAT_PRODUCT_ID") != identity:
        raise _contradiction(file, f"{contents.get('LANDSAT_PRODUCT_ID', 'no product')}, and its name {identity}")
    scales = {}
    if level == 2:
        scales |= _factors(groups, "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "REFLECTANCE", "SR_B", file)
        scales |= _factors(groups, "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "TEMPERATURE", "", file)
    else:
        # Reflectance of level 1 is without the sun's height, which is a part of the scale then.
        high = math.sin(math.radians(_number(image, "SUN_ELEVATION", file)))
        if high <= 0:
            raise ImageryError(f"{file}: SUN_ELEVATION is not above 0", remedy="Leave scenes of the night out.")
        found = _factors(groups, "LEVEL1_RADIOMETRIC_RESCALING", "REFLECTANCE", "B", file)
        scales |= {band: (scale / high, offset / high) for band, (scale, offset) in found.items()}
    date, hour = image.get("DATE_ACQUIRED", ""), image.get("SCENE_CENTER_TIME", "")[:8]
    moment = _time(f"{date}T{hour or '00:00:00'}Z" if date else "", "DATE_ACQUIRED or SCENE_CENTER_TIME", file)
    clouds = _cloud(image, "CLOUD_COVER", file)
    return ProductMetadata(
        identity, file.name, scales, moment, clouds, ("uint8", "uint16") if level == 1 else ("uint16",)
    )


def _factors(
    groups: Mapping[str, Mapping[str, str]], group: str, kind: str, prefix: str, file: Path
) -> dict[str, tuple[float, float]]:
    """(scale, offset) of the bands of a group of Landsat's metadata."""
    given = groups.get(group, {})
    names = [key.removeprefix(f"{kind}_MULT_BAND_") for key in given if key.startswith(f"{kind}_MULT_BAND_")]
    return {
        f"{prefix}{name}": (
            _number(given, f"{kind}_MULT_BAND_{name}", file), _number(given, f"{kind}_ADD_BAND_{name}", file)
        )
        for name in names
    }  # fmt: skip


def _groups(file: Path) -> dict[str, dict[str, str]]:
    """Landsat's metadata: texts by name, by group."""
    if file.suffix == ".xml":
        return {_tag(group): {_tag(each): (each.text or "").strip() for each in group} for group in _xml(file)}
    found = _json(file).get("LANDSAT_METADATA_FILE")
    groups = found if isinstance(found, dict) else {}
    return {
        name: {key: str(each) for key, each in group.items()}
        for name, group in groups.items()
        if isinstance(group, dict)
    }


def _xml(file: Path) -> Xml.Element:
    text = _content(file)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ImageryError(f"{file}: declares a document type, as no product does", remedy="Fetch the file again.")
    try:
        return Xml.fromstring(text)
    except (Xml.ParseError, ValueError) as error:
        raise ImageryError(f"{file}: not XML: {error}", remedy="Fetch the file again.") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(_content(file))
    except (ValueError, RecursionError) as error:
        raise ImageryError(f"{file}: not JSON: {error}", remedy="Fetch the file again.") from error
    if not isinstance(found, dict):
        raise ImageryError(f"{file}: not the metadata of a product", remedy="Fetch the file again.")
    return found


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ImageryError(f"{file}: larger than the metadata of a product are", remedy="Fetch the file again.")
        return file.read_bytes()
    except OSError as error:
        raise ImageryError(f"{file}: cannot be read: {error.strerror or error}", remedy="Fetch it again.") from error


def _tag(element: Xml.Element) -> str:
    return element.tag.rpartition("}")[2]


def _number(texts: Mapping[str, str], name: str, file: Path) -> float:
    return _finite(texts.get(name, ""), name, file)


def _finite(text: str, name: str, file: Path) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number == 0 and name.endswith("QUANTIFICATION_VALUE")):
        raise ImageryError(
            f"{file}: {name} is {text[:40] or 'missing'!r}, not a number", remedy="Fetch the file again."
        )
    return number


def _cloud(texts: Mapping[str, str], name: str, file: Path) -> float | None:
    """Percent; None where it was not determined, which Landsat writes as -1."""
    found = _number(texts, name, file) if texts.get(name) else -1.0
    return found if found >= 0 else None


def _time(text: str, name: str, file: Path) -> str | None:
    if text and not _is_time(text):
        raise ImageryError(f"{file}: {name} is {text[:40]!r}, not a time in UTC", remedy="Fetch the file again.")
    return text or None


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _baseline(text: str, file: Path) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", text)
    if not found:
        raise ImageryError(
            f"{file}: PROCESSING_BASELINE is {text[:40]!r}, not such as 05.11", remedy="Fetch the file again."
        )
    return int(found[1]), int(found[2])


def _version(baseline: tuple[int, int]) -> str:
    return f"{baseline[0]:02}.{baseline[1]:02}"


def _moment(compact: str) -> str | None:
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", compact)
    moment = "{}-{}-{}T{}:{}:{}Z".format(*found.groups()) if found else ""
    return moment if _is_time(moment) else None


def _contradiction(file: Path, what: str) -> ImageryError:
    return ImageryError(
        f"{file}: says {what}: which scale its numbers have is not known",
        remedy="Fetch the product again, or move its files out of its folder and give imagery.scale and imagery.offset.",
    )


def _alike(one: tuple[float | None, float | None], other: tuple[float, float]) -> bool:
    return all(
        number is not None and math.isclose(number, own, rel_tol=1e-4, abs_tol=1e-9)
        for number, own in zip(one, other, strict=True)
    )
