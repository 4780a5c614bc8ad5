"""Names of the folders of several areas' maps, from the files of the areas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swath.spec.fields.area import Area


def area_folders(areas: Sequence[Area]) -> list[str]:
    """A folder name for each area: the stem of its file, with the area's number where it has no file or an earlier one has the same
    stem. `all` when there are no areas."""
    names: list[str] = []
    for number, area in enumerate(areas, 1):
        stem = PurePosixPath(area.source).stem if "." in area.source and "/" not in area.source[-1:] else ""
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-")
        names.append(stem if stem and stem not in names else f"{stem or 'area'}-{number}")
    return names or ["all"]
