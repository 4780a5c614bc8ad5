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
    if text.startswith(b"<"):
        return "an XML document"
    if head.startswith(b"PK"):
        return "a zip archive"
    return "something else"
