"""Refusals of band selections that would read other pixels than the model expects: one band for several, bands in another order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from swath.errors import ImageryError
from swath.imagery.sources.band_meaning import band_code, contradicts
from swath.storage.address import redacted

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes

ONE_BAND_EACH = (
    "Each file is a scene of its own. Files of one band each are one scene with {band} in place of the band in imagery.paths, such as "
    "scenes/*_{band}_10m.tif, or through a STAC item (source: stac)."
)


def check_repeated(scenes: Scenes, *, one_file: bool) -> None:
    """Raise ImageryError where one band of a scene is taken for several bands of the model or of the result."""
    for scene in scenes.scenes:
        taken: dict[tuple[str, int], list[str]] = {}
        for name, band in zip(scenes.bands, scene.bands, strict=True):
            taken.setdefault((band.href, band.index), []).append(name)
        for (href, index), names in taken.items():
            if len(names) > 1:
                raise ImageryError(
                    f"{redacted(href)}: band {index} would be read for {len(names)} bands: {', '.join(names)}",
                    remedy=f"Say in imagery.bands which band is which. {ONE_BAND_EACH if one_file else ''}".strip()
                    + " If the same pixels are meant for each, as for a grey image: imagery.repeat_bands: true.",
                )


def check_order(chosen: Sequence[str | int], model: Sequence[str] | None) -> None:
    """Raise ImageryError where a name in imagery.bands is the model's name for another of its bands."""
    positions = [each.lower() for each in model or ()]
    for want, own in zip(chosen, positions, strict=False):
        if isinstance(want, str) and want.lower() != own and want.lower() in positions:
            raise contradiction(f"imagery.bands: {want!r}", own, model or ())


def check_names(indexes: Sequence[tuple[int, str]], names: Sequence[str], href: str, model: Sequence[str]) -> None:
    """Raise ImageryError where a file's band has the name of another of the model's bands.

    `indexes` are the chosen bands, one for each of the model's; `names` those in the file or in imagery.names, not colours: writers
    tag any three bands as red, green and blue.
    """
    positions = [each.lower() for each in model]
    for (index, _), own in zip(indexes, positions, strict=True):
        name = names[index - 1].lower()
        if name and name != own and name in positions:
            raise contradiction(f"{redacted(href)}: band {index}, {names[index - 1]!r},", own, model)


def contradiction(what: str, own: str, model: Sequence[str]) -> ImageryError:
    return ImageryError(
        f"{what} would be read for the model's band {own!r}",
        remedy=f"Give imagery.bands in the model's order ({', '.join(model)}); where the names in the file are wrong, "
        "correct them with imagery.names.",
    )


def check_products(hrefs: Sequence[str], model: Sequence[str] | None) -> None:
    """Raise ImageryError where names of files that hold one unnamed band each say that they are different bands, or another one than
    the model's."""
    codes = {href: code for href in hrefs if (code := band_code(PurePosixPath(redacted(href)).stem))}
    if not codes:
        return
    (first, code), *rest = codes.items()
    for href, other in rest:
        if other != code:
            raise ImageryError(
                f"imagery.paths: {redacted(first)} is band {code} and {redacted(href)} is band {other}, by their names; "
                "they would be mapped as two scenes of one band",
                remedy=f"{ONE_BAND_EACH} Where they are the same band of two sensors, name it: imagery.names: [NAME].",
            )
    if model and contradicts(model[0], code):
        raise ImageryError(
            f"{redacted(first)}: is band {code} by its name, and would be read for the model's band {model[0]!r}",
            remedy="Give the file of the model's band; where the name misleads, name the band: imagery.names: [NAME].",
        )
