"""Path patterns of imagery: the files that they match, and the files of each scene where every band is a file of its own.

In `S2*_{band}_10m.jp2` the placeholder stands for the name of a band: files whose other parts are alike are one scene.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swath.errors import ImageryError
from swath.imagery.reading.open_raster import open_raster
from swath.imagery.sources.product_folders import is_picture, named_products
from swath.spec.fields.paths import BAND, plain_pattern
from swath.storage.address import local_path, redacted, scheme
from swath.storage.objects import objects_matching

_TOKENS = re.compile(r"\*\*/|\*+|\?|\[[^\]]+\]|\{band\}")
_ANY_BAND = r"[A-Za-z0-9]+"


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene."""

    id: str
    files: Mapping[str, str]
    """Path or URL by the name of the band, as it was asked for."""


def matching_paths(patterns: Sequence[str]) -> list[str]:
    """Files in the order of the patterns, each once. Raises ImageryError for a pattern that matches nothing."""
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = _matches(pattern)
        if not matches:
            if scheme(pattern) == "file" and (folders := glob.glob(str(local_path(pattern)), recursive=True)):  # noqa: PTH207
                open_raster(str(local_path(folders[0]).absolute())).close()  # the error says what the folder is
            raise ImageryError(
                f"imagery.paths: nothing matches {redacted(pattern)}",
                remedy="Check the path; patterns are *, ? and [abc], ** for folders.",
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def has_band_files(patterns: Sequence[str]) -> bool:
    """Whether the patterns name bands by files. Raises ImageryError where only some of them do."""
    with_band = [pattern for pattern in patterns if BAND in pattern]
    if with_band and len(with_band) < len(patterns):
        without = next(pattern for pattern in patterns if BAND not in pattern)
        raise ImageryError(
            f"imagery.paths: {redacted(without)} has no {BAND}, and others have",
            remedy=f"Name files of all bands, or files of one band each with {BAND}; not both in one spec.",
        )
    return bool(with_band)


def band_file_names(requested: Sequence[str | int] | None, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The bands of a spec as names of files; `names` are those that it gives the bands of each file. Raises ImageryError for what files
    of one band each do not have."""
    if names is not None:
        raise ImageryError(
            f"imagery.names: files that are named by {BAND} hold one band each, and have its name",
            remedy="Leave names out; bands says which of them to read.",
        )
    if any(isinstance(each, int) for each in requested or ()):
        raise ImageryError(
            "imagery.bands: files that hold one band each have no band numbers",
            remedy=f"Give what stands for {BAND} in the files' names.",
        )
    return None if requested is None else tuple(str(each) for each in requested)


def scene_files(patterns: Sequence[str], bands: Sequence[str] | None, quality: str | None = None) -> list[SceneFiles]:
    """The scenes of patterns with a placeholder, in the order of the patterns, sorted within each. Files are of one scene where the
    parts that `*`, `?` and `[abc]` stand for are alike, in whichever pattern they are, unless the patterns name two SAFE folders; the
    first pattern that has a band counts.

    `bands` are the names to find, in upper or lower case; when not given, those that every scene has, sorted. `quality` is a further
    one. Raises ImageryError when a scene lacks a band, or nothing is found.
    """
    scenes: dict[tuple[str, ...], dict[str, str]] = {}
    for pattern in patterns:
        listed = _matches(plain_pattern(pattern))
        place = str(local_path(pattern).absolute()) if scheme(pattern) == "file" else pattern
        wanted: list[str | None] = [None] if bands is None else [*bands, *([quality] if quality else [])]
        for band in dict.fromkeys(wanted):
            matcher = _regex(place, band)
            for path in listed:
                if (found := matcher.fullmatch(path)) is None:
                    continue
                if band is None and is_picture(path):
                    continue
                signs = (number for number in range(1, matcher.groups + 1) if number != matcher.groupindex["band"])
                key = (*named_products(pattern), *(found[number] or "" for number in signs))
                scenes.setdefault(key, {}).setdefault(band or found["band"], path)
    if not scenes:
        wanted_text = f" for band {', '.join(bands)}" if bands else ""
        raise ImageryError(
            f"imagery.paths: nothing matches {redacted(patterns[0])}{wanted_text}",
            remedy=f"Check the path, and the names of the bands as they stand for {BAND} in the files' names.",
        )
    if bands is None:
        shared = set.intersection(*(set(files) for files in scenes.values()))
        names = tuple(sorted(shared - {quality or ""}))
    else:
        names = tuple(bands)
    return [_complete(key, files, names, quality) for key, files in scenes.items()]


def _complete(key: tuple[str, ...], files: dict[str, str], bands: tuple[str, ...], quality: str | None) -> SceneFiles:
    needed = [*bands, *([quality] if quality else [])]
    missing = [band for band in needed if band not in files]
    first = redacted(next(iter(files.values())))
    if missing or not bands:
        what = f"has no file of band {', '.join(missing)}" if missing else "shares no band with the others"
        raise ImageryError(
            f"imagery.paths: the scene of {first} {what}",
            remedy=f"Its files have {', '.join(sorted(files))}. Fetch the missing ones, or leave the scene out by a narrower pattern.",
        )
    parts = [part.replace("/", "_") for part in key if part]
    return SceneFiles("_".join(parts) or PurePosixPath(first).stem, {band: files[band] for band in needed})


def _regex(pattern: str, band: str | None) -> re.Pattern[str]:
    """A pattern as a regular expression whose groups are what its signs stand for; `band` among them."""
    parts, at, named = [], 0, False
    for token in _TOKENS.finditer(pattern):
        parts.append(re.escape(pattern[at : token.start()]))
        sign, at = token.group(), token.end()
        if sign == BAND:
            own = _ANY_BAND if band is None else f"(?i:{re.escape(band)})"
            parts.append("(?P=band)" if named else f"(?P<band>{own})")
            named = True
        elif sign == "**/":
            parts.append("(?:(.*)/)?")
        elif sign.startswith("*"):
            parts.append("([^/]*)")
        elif sign == "?":
            parts.append("([^/])")
        else:
            parts.append(f"({sign.replace('[!', '[^')})")
    return re.compile("".join([*parts, re.escape(pattern[at:])]), re.DOTALL)


def _matches(pattern: str) -> list[str]:
    kind = scheme(pattern)
    if kind == "file":
        path = str(local_path(pattern))
        if not glob.has_magic(path) or local_path(path).is_file():
            return [str(local_path(path).absolute())]
        found = glob.iglob(path, recursive=True)  # noqa: PTH207 - pathlib's * also matches hidden files, as .part.tif
        return sorted(str(local_path(match).absolute()) for match in found if local_path(match).is_file())
    if kind in ("http", "https"):  # where a ? starts the query
        if "*" in pattern:
            raise ImageryError(
                f"imagery.paths: {redacted(pattern)}: a web address cannot be a pattern",
                remedy="List the addresses one by one, or use a STAC catalogue.",
            )
        return [pattern]
    if not any(sign in pattern for sign in "*?["):
        return [pattern]
    try:
        return objects_matching(pattern)
    except (OSError, ValueError) as error:
        raise ImageryError(
            f"imagery.paths: {redacted(pattern)}: cannot be listed: {error}",
            remedy="Check the address and the network.",
        ) from error
