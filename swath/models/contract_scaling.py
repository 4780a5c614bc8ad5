"""How a contract says that pixels are scaled: value_scaling, or the normalisation of MLM 1.3 and before, which is translated to it.

A field that changes pixels and is not applied here is a mistake, also when it stands in the wrong place. IGNORED_FIELDS change none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swath.models.document_reader import DocumentReader, suggestion

VALUE_SCALINGS: dict[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
"""Types of MLM value_scaling that are applied (see swath.models.network_input), with the numbers that each needs."""
IGNORED_FIELDS = {
    "mlm:input": ("name", "description", "title", "statistics"),
    "mlm:input.0.input": ("description", "name"),
    "mlm:input.0.bands": (
        "description",
        "title",
        "format",
        "statistics",
        "common_name",
        "center_wavelength",
        "full_width_half_max",
    ),
    "value_scaling": ("description", "title", "name", "format", "expression"),
    "mlm:output": ("tasks", "description", "title", "scores"),
    "mlm:output.0.result": ("description", "name"),
    "classification:classes": ("description", "title", "name", "percentage", "count", "color_hint", "color-hint"),
}
"""Fields of a contract that change no pixel, and are ignored. So are fields whose names hold a colon, but for those under `swath:`,
and all others whose names say nothing of pixels (see CHANGES)."""
CHANGES = (
    "norm", "scal", "clip", "statistic", "mean", "std", "stddev", "minimum", "maximum", "offset", "gain", "factor", "divis",
    "process", "transform", "resize", "resample", "standardi", "quantil", "percentile", "padding", "crop", "expression", "nodata",
)  # fmt: skip
"""A field of another name that holds one of these words, and no null, is a mistake: it would change pixels and is not applied."""
_ZERO_IS_NOTHING = ("offset", "padding", "crop")
"""Words of fields that change no pixel where they are 0; `nodata: 0` does."""
MISPLACED = (
    "value_scaling", "norm_type", "norm_by_channel", "norm_clip", "norm_with_clip_values", "rescale_type", "resize_type",
    "pre_processing_function", "post_processing_function",
)  # fmt: skip
"""Fields of inputs and outputs that are a mistake among those of the model."""
_OF_PIXELS = re.compile(
    r"(pre|post)_?process\w*|normali[sz]\w*|(re)?scal(e|ing)\w*|((image|pixel|band|channel)_)?(mean|std|stddev|offset)s?|transforms?"
)
"""Names with which other producers write scaling among the fields of the model."""
_BAND_KEYS = ("name", "band", "band_name", "common_name", "eo:common_name")
"""Fields with which an entry of statistics or value_scaling may name its band."""
OLD_TYPES = {"min-max": ("minimum", "maximum"), "z-score": ("mean", "stddev")}
"""norm_type of MLM 1.3 and before that is translated, with the statistics that it needs."""


def read_scaling(reader: DocumentReader, given: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The value_scaling of an input (none, one for all bands `names`, or one for each); mistakes go to the reader."""
    where, bands = "mlm:input.0.", len(names)
    for field in ("statistics", "value_scaling"):
        _check_order(reader, given.get(field), names, where + field)
    scaling = given.get("value_scaling")
    norm = given.get("norm_type")
    for key, what in (("norm_clip", "clip"), ("norm_with_clip_values", "clip")):
        if given.get(key):
            reader.wrong(
                where + key, f"cannot be applied; use value_scaling of the type {what}, or put it into the model"
            )
    if given.get("rescale_type") is not None:
        reader.wrong(where + "rescale_type", "must be null: swath does not resize images")
    if norm is not None:
        if scaling is not None:
            reader.wrong(where + "norm_type", "stands beside value_scaling; remove the one that is not meant")
            return ()
        return _normalisation(reader, given, norm, bands)
    if given.get("norm_by_channel"):
        reader.wrong(where + "norm_by_channel", "needs norm_type; use value_scaling, which is the field of today")
    if given.get("statistics") and scaling is None and not {"norm_type", "value_scaling"} & given.keys():
        reader.wrong(
            where + "statistics",
            "is there, but nothing says what is done with it; write value_scaling (min-max or z-score with these numbers), or "
            '"value_scaling": null if pixels are given as they are',
        )
    return _value_scaling(reader, scaling, bands, where + "value_scaling")


def _check_order(reader: DocumentReader, entries: Any, names: Sequence[str], where: str) -> None:
    """Note a mistake where entries, one per band, name bands in another order than the bands are in: entries go by their position."""
    if not isinstance(entries, list) or len(entries) != len(names):
        return
    for position, (entry, expected) in enumerate(zip(entries, names, strict=True)):
        for key in _BAND_KEYS if isinstance(entry, dict) else ():
            name = entry.get(key)
            if isinstance(name, str) and name != expected and name in names:
                reader.wrong(
                    f"{where}.{position}.{key}",
                    f"is {name}, but the band at this place of mlm:input.0.bands is {expected}; put the entries into the bands' order",
                )


def check_unused(
    reader: DocumentReader, given: Mapping[str, Any], used: Iterable[str], place: str, *, of: str | None = None
) -> None:
    """Note a mistake for each field of `given` that would change pixels and is not among `used`. `of` is the key in IGNORED_FIELDS."""
    ignored = {*used, *IGNORED_FIELDS[of or place]}
    for key, value in given.items():
        nothing = value is None or value is False or value in ([], {})
        if (
            key in ignored
            or ":" in key
            or nothing
            or (value == 0 and any(word in key.lower() for word in _ZERO_IS_NOTHING))
        ):
            continue
        if any(word in key.lower() for word in CHANGES):
            meant = suggestion(key, tuple(used))
            instead = "put what it does into the model (of inputs, into value_scaling)"
            if "nodata" in key.lower() and "output" not in place:
                instead = "nodata is what the imagery declares, or imagery.nodata in the spec"
            reader.wrong(f"{place}.{key}", f"is not applied{meant}: {instead}, and remove it")


def check_misplaced(reader: DocumentReader, document: Mapping[str, Any]) -> None:
    """Note a mistake for each field of an input or output that stands among those of the model."""
    for key, value in document.items():
        name = key.removeprefix("mlm:")
        if name in MISPLACED and value is not None:
            side = "output" if "post" in key else "input"
            reader.wrong(key, f"stands in the wrong place; it belongs into mlm:{side}.0")
        elif _OF_PIXELS.fullmatch(name.lower()) and value not in (None, False, [], {}):
            reader.wrong(
                key, "is not applied: scaling of pixels is value_scaling in mlm:input.0; write it there, and remove it"
            )


def _normalisation(reader: DocumentReader, given: dict[str, Any], norm: Any, bands: int) -> tuple[dict[str, Any], ...]:
    where = "mlm:input.0."
    kind = norm.replace("_", "-").lower() if isinstance(norm, str) else norm
    if kind == "none":
        return ()
    if not isinstance(kind, str) or kind not in OLD_TYPES:
        known = f"swath knows {', '.join(OLD_TYPES)} and null"
        reader.wrong(where + "norm_type", f"{json.dumps(norm)} cannot be applied; {known}. Use value_scaling")
        return ()
    needs = OLD_TYPES[kind]
    statistics = given.get("statistics")
    numbers: list[Any] = statistics if isinstance(statistics, list) else [statistics]
    each = bool(given.get("norm_by_channel", len(numbers) > 1))
    count = bands if each else 1
    if len(numbers) != count or not all(isinstance(entry, dict) for entry in numbers):
        way = (
            f"norm_by_channel, so statistics must be a list of {bands} objects" if each else "statistics of one object"
        )
        reader.wrong(where + "statistics", f"norm_type {norm} goes with {way} with {' and '.join(needs)}")
        return ()
    steps = [{"type": kind, **{need: entry.get(need) for need in needs}} for entry in numbers]
    return _value_scaling(reader, steps, bands, where + "statistics")


def _value_scaling(reader: DocumentReader, given: Any, bands: int, where: str) -> tuple[dict[str, Any], ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) not in (1, bands) or not all(isinstance(s, dict) for s in given):
        reader.wrong(where, f"must be null, or a list with one object for all bands or {bands}: one per band")
        return ()
    steps: list[dict[str, Any]] = []
    for position, scaling in enumerate(given):
        place = f"{where}.{position}"
        kind = scaling.get("type", "")
        if kind is not None and not (isinstance(kind, str) and kind in VALUE_SCALINGS):
            known = f"swath knows {', '.join(VALUE_SCALINGS)} and null"
            reader.wrong(
                place + ".type",
                f"{json.dumps(kind)} cannot be applied; {known}{suggestion(kind, tuple(VALUE_SCALINGS))}",
            )
            continue
        needs = VALUE_SCALINGS[kind] if kind is not None else ()
        numbers = _numbers(reader, scaling, needs, kind, place)
        check_unused(reader, scaling, ("type", *needs), place, of="value_scaling")
        if scaling.get("value") is not None and "value" not in needs:
            reader.wrong(f"{place}.value", f"is not used by {kind}; remove it, or correct type")
        steps.append({"type": kind, **numbers})
    return tuple(steps)


def _numbers(
    reader: DocumentReader, scaling: dict[str, Any], needs: tuple[str, ...], kind: str | None, place: str
) -> dict[str, float | None]:
    for need in needs:
        if scaling.get(need) is None:
            reader.wrong(f"{place}.{need}", f"is missing: {kind} needs it")
    numbers = {need: reader.number(scaling, need, f"{place}.") for need in needs}
    low, high = numbers.get("minimum"), numbers.get("maximum")
    if low is not None and high is not None and low >= high:
        reader.wrong(f"{place}.maximum", f"must be above minimum, but {high} is not above {low}")
    deviation = numbers.get("stddev")
    if deviation is not None and deviation <= 0:
        reader.wrong(f"{place}.stddev", f"must be above 0, not {deviation}")
    if kind == "scale" and numbers["value"] == 0:
        reader.wrong(f"{place}.value", "must not be 0: pixels are divided by it")
    return numbers
