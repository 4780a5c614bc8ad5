"""File formats from a file's first bytes: the GDAL driver that may open it, or a description of what it is instead."""

from __future__ import annotations

DRIVERS = ("GTiff", "JP2OpenJPEG", "JPEG", "PNG", "HFA")
"""Formats whose files hold their own pixels. A VRT, a WMS description, a zip or an SQLite file is refused, whatever its
name ends in: such a file can make GDAL read other files of this machine, or the network, into a map."""

HEAD_BYTES = 512
"""How many of the first bytes are needed."""

_SIGNATURES = {
    "49492a00": "GTiff",
    "4d4d002a": "GTiff",
    "49492b00": "GTiff",  # BigTIFF
    "4d4d002b": "GTiff",
    "0000000c6a502020": "JP2OpenJPEG",
    "ff4fff51": "JP2OpenJPEG",
    "ffd8ff": "JPEG",
    "89504e470d0a1a0a": "PNG",
    b"EHFA_HEADER_TAG".hex(): "HFA",
}


def driver_of(head: bytes) -> str | None:
    """GDAL's driver for a file that starts with `head`; None when its format is not allowed."""
    return next((driver for signature, driver in _SIGNATURES.items() if head.hex().startswith(signature)), None)


def describe_format(head: bytes) -> str:
    """What a file that is not an allowed raster seems to be, such as `an HTML page`."""
    text = head.lstrip().lower()
    if not head:
        return "an empty file"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if b"<vrtdataset" in text:
        return "a VRT (which points at other files)"
    if b"level-" in text and b"user_product" in text:
        return "the metadata of a Sentinel-2 product"
    if text.startswith(b"<"):
        return "an XML document"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "NetCDF-4 or HDF5"
    if head[:4] in (b"CDF\1", b"CDF\2", b"CDF\5"):
        return "NetCDF"
    if head.startswith(b"\x0e\x03\x13\x01"):
        return "HDF4"
    if head.startswith(b"PK"):
        return "a zip archive"
    return "something else"


def format_advice(description: str) -> str:
    """What to do with a file of this description (see `describe_format`)."""
    if "HDF" in description or "NetCDF" in description:
        return (
            "List its subdatasets with gdalinfo, and convert one: gdal_translate -of COG 'NETCDF:\"FILE\":VARIABLE' OUT.tif "
            "(HDF5:, HDF4_EOS: likewise)."
        )
    if "VRT" in description:
        return "List the files that it points at in imagery.paths, or make one file of it: gdal_translate -of COG FILE.vrt OUT.tif."
    if "Sentinel-2" in description:
        return SAFE_ADVICE
    if "zip" in description:
        return f"Unzip it, and name the rasters in it. {SAFE_ADVICE}"
    return f"Formats that are read: {', '.join(DRIVERS)}. Convert others with gdal_translate -of COG."


SAFE_ADVICE = (
    'A Sentinel-2 product is read as the folder that it is unpacked to, by its name: paths: ["data/*.SAFE"]; or its files by '
    "GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2; or through a STAC item (source: stac)."
)


def folder_advice(name: str, members: list[str]) -> tuple[str, str]:
    """(what a folder is, what to do), by its name and the names in it."""
    if name.upper().endswith(".SAFE") or any(each.startswith("MTD_MSI") for each in members):
        return "a Sentinel-2 product (SAFE folder)", SAFE_ADVICE
    if name.endswith(".zarr") or {".zgroup", ".zarray", ".zattrs", "zarr.json"} & set(members):
        return "a Zarr store", "Convert a variable of it: gdal_translate -of COG 'ZARR:\"FOLDER\":/VARIABLE' OUT.tif."
    return "a folder", "Name the file itself, or a pattern such as FOLDER/*.tif."
