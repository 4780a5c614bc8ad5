"""The fields of a contract: MLM inputs, outputs and value_scaling, and those under `swath:`, checked and made into a Contract."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, cast

from swath.models.contract import DTYPE_RANGES, Contract, ModelClass
from swath.models.contract_arrays import ContractArray, read_array
from swath.models.contract_scaling import check_misplaced, check_unused, read_scaling
from swath.models.document_reader import DocumentReader, is_number, suggestion
from swath.models.network_axes import NetworkAxes
from swath.spec.fields.class_colors import PALETTE, default_colors

SWATH_FIELDS = (
    "units",
    "output",
    "threshold",
    "dtype",
    "nodata",
    "resolution_m",
    "values",
    "metrics",
    "training_data",
    "training",
    "licence",
)
"""Fields under `swath:`. The last four are for readers; evaluate takes the split from `training`."""

MOST_CLASSES = 255
"""That a map can hold; one value is nodata."""
_INPUT_FIELDS = (
    "name", "bands", "input", "value_scaling", "resize_type", "pre_processing_function", "norm_type", "norm_by_channel", "norm_clip",
    "norm_with_clip_values", "rescale_type",
)  # fmt: skip
_OUTPUT_FIELDS = ("name", "result", "post_processing_function", "classification:classes")


def contract_from_fields(reader: DocumentReader, document: dict[str, Any]) -> Contract | None:
    """The contract of a document; None where there are mistakes, which the reader then holds."""
    for key in document:
        if key.startswith("swath:") and key.removeprefix("swath:") not in SWATH_FIELDS:
            reader.wrong(key, f"no such field{suggestion(key, tuple('swath:' + name for name in SWATH_FIELDS))}")
    check_misplaced(reader, document)
    name = reader.text(document, "mlm:name")
    input_given = reader.single(document, "mlm:input")
    bands, scaling, taken = _input(reader, input_given)
    output_given = reader.single(document, "mlm:output")
    classes, result = _output(reader, output_given)
    channels = result.channels
    output_name = output_given.get("name")
    if output_name is not None and not isinstance(output_name, str):
        reader.wrong("mlm:output.0.name", f"must be a text, not {json.dumps(output_name)}")
    units = reader.one_of(document, "swath:units", ("reflectance", "dn"))
    output = reader.one_of(document, "swath:output", ("classes", "values"), "classes" if classes else "values")
    threshold = reader.number(document, "swath:threshold")
    resolution = reader.number(document, "swath:resolution_m")
    if resolution is not None and resolution <= 0:
        reader.wrong("swath:resolution_m", f"must be above 0, not {resolution}")
    dtype = reader.one_of(document, "swath:dtype", tuple(DTYPE_RANGES), "uint8" if output == "classes" else "float32")
    nodata = _nodata(reader, document, output, dtype)
    numbers: tuple[int, ...] = ()
    if output == "classes" and threshold is None and (result.axis == "none" or (result.whole and channels == 1)):
        numbers, channels = tuple(entry.value for entry in classes), None
    if output == "classes":
        _check_classes(reader, classes, channels, threshold, dtype, nodata)
    else:
        if threshold is not None:
            reader.wrong("swath:threshold", "only goes with swath:output classes")
        if classes:
            where = "mlm:output.0.classification:classes"
            reader.wrong(where, "goes with swath:output classes; a map of values has no classes")
        if channels is None:
            reader.wrong("mlm:output.0.result.shape", "must say the number of channels where the output is values")
    values = _value_names(reader, document.get("swath:values"), output, channels)
    if reader.mistakes:
        return None
    return Contract(
        name=name,
        bands=bands,
        output=cast('Literal["classes", "values"]', output),
        classes=classes,
        units=cast('Literal["reflectance", "dn"]', units),
        scaling=scaling,
        threshold=threshold,
        dtype=dtype,
        nodata=nodata,
        resolution_m=resolution,
        mlm=document,
        channels=channels,
        output_name=output_name if isinstance(output_name, str) else "",
        size=taken.size,
        axes=NetworkAxes(
            taken.axis == "last",
            result.axis,
            numbers,
            int(nodata) if numbers else 255,
            taken.dtype if taken.whole else "",
        ),
        values=values,
    )


def _value_names(reader: DocumentReader, given: Any, output: str, channels: int | None) -> tuple[str, ...]:
    """Names of the bands of a map of values; none where none are given."""
    if given is None:
        return ()
    names = given if isinstance(given, list) else []
    if not names or not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) != len(names):
        reader.wrong("swath:values", f"must be a list of names that differ, not {json.dumps(given)}")
    elif output != "values":
        reader.wrong("swath:values", "goes with swath:output values; classes have names of their own")
    elif channels is not None and len(names) != channels:
        reader.wrong("swath:values", f"names {len(names)} bands, but mlm:output.0.result.shape says {channels}")
    return tuple(map(str, names))


def _input(
    reader: DocumentReader, given: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...], ContractArray]:
    """Bands, scaling, and the array that they are in."""
    if not given:
        return (), (), ContractArray()
    where = "mlm:input.0."
    bands: list[str] = []
    names = given.get("bands")
    if not isinstance(names, list) or not names:
        reader.wrong(where + "bands", "must be a list of band names in the order in which the model takes them")
        names = []
    for position, band in enumerate(names):
        if isinstance(band, dict) and band.get("expression") is not None:
            reader.wrong(
                f"{where}bands.{position}.expression", "swath does not compute bands; give bands that imagery has"
            )
        band_name = band.get("name") if isinstance(band, dict) else band
        if not isinstance(band_name, str) or not band_name.strip():
            reader.wrong(f"{where}bands.{position}", f"must be a band's name, not {json.dumps(band)}")
        elif band_name in bands:
            reader.wrong(f"{where}bands.{position}", f"{band_name} is there twice")
        bands.append(str(band_name))
        if isinstance(band, dict):
            check_unused(reader, band, ("name", "expression"), f"{where}bands.{position}", of="mlm:input.0.bands")
    check_unused(reader, given, _INPUT_FIELDS, "mlm:input.0", of="mlm:input")
    array = read_array(reader, given, "input", where)
    channels = array.channels
    if channels is not None and bands and channels != len(bands):
        reader.wrong(where + "input.shape", f"says {channels} channels, but bands names {len(bands)}")
    if given.get("resize_type") is not None:
        reader.wrong(
            where + "resize_type", "must be null: swath reads pixels on the map's grid and does not resize them"
        )
    if given.get("pre_processing_function") is not None:
        reader.wrong(where + "pre_processing_function", "must be null: use value_scaling, or put it into the model")
    return tuple(bands), read_scaling(reader, given, bands), array


def _output(reader: DocumentReader, given: dict[str, Any]) -> tuple[tuple[ModelClass, ...], ContractArray]:
    if not given:
        return (), ContractArray()
    where = "mlm:output.0."
    array = read_array(reader, given, "result", where, without_channels=True)
    check_unused(reader, given, _OUTPUT_FIELDS, "mlm:output.0", of="mlm:output")
    if given.get("post_processing_function") is not None:
        reader.wrong(
            where + "post_processing_function", "must be null: swath takes the largest class, or swath:threshold"
        )
    listed = given.get("classification:classes")
    if listed is None:
        return (), array
    where += "classification:classes"
    if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
        reader.wrong(where, "must be a list of objects with value, name and color_hint")
        return (), array
    classes: list[ModelClass] = []
    if len(listed) > MOST_CLASSES:
        reader.wrong(
            where, f"names {len(listed)} classes; a map is of bytes and holds {MOST_CLASSES} (values 0 to 254)"
        )
        return (), array
    hints = [entry.get("color_hint") for entry in listed]
    colors = default_colors([hint if _is_color(hint) else None for hint in hints])
    for position, entry in enumerate(listed):
        place = f"{where}.{position}."
        check_unused(reader, entry, ("value", "name", "color_hint"), place[:-1], of="classification:classes")
        value, name = entry.get("value"), reader.text(entry, "name", place)
        if type(value) is not int or not 0 <= value <= 254:
            reader.wrong(place + "value", f"must be a whole number from 0 to 254, not {json.dumps(value)}")
            value = -1
        hint = entry.get("color_hint", colors[position])
        if not _is_color(hint):
            reader.wrong(place + "color_hint", f"must be six hexadecimal digits such as 2B7BBA, not {json.dumps(hint)}")
            hint = PALETTE[0]
        red, green, blue = bytes.fromhex(hint)
        classes.append(ModelClass(value, name, (red, green, blue)))
    return tuple(classes), array


def _is_color(hint: Any) -> bool:
    return isinstance(hint, str) and len(hint) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in hint)


def _check_classes(
    reader: DocumentReader,
    classes: tuple[ModelClass, ...],
    channels: int | None,
    threshold: float | None,
    dtype: str,
    nodata: float,
) -> None:
    where = "mlm:output.0.classification:classes"
    if dtype != "uint8":
        reader.wrong("swath:dtype", f"must be uint8 for a map of classes, not {dtype}")
    if len(classes) < 2:
        reader.wrong(where, "must name two classes or more (or say swath:output values)")
    for what, seen in (("value", [c.value for c in classes]), ("name", [c.name for c in classes])):
        if len(set(seen)) != len(seen):
            reader.wrong(where, f"each class needs a {what} of its own")
    for entry in classes:
        if entry.value == nodata:
            reader.wrong("swath:nodata", f"{nodata} is the value of class {entry.name}; take one that no class has")
    values = [entry.value for entry in classes]
    if channels == len(classes) and sorted(values) == list(range(len(classes))) != values:
        reader.wrong(
            where,
            f"lists the values {', '.join(map(str, values))}, and the entries are taken for the channels in their order (channel 0 "
            f"has the value {values[0]}); put them into the order of the channels, and give channel n the value n",
        )
    if threshold is not None and len(classes) != 2:
        reader.wrong("swath:threshold", f"needs two classes, below it and from it on, not {len(classes)}")
    expected = 1 if threshold is not None else len(classes)
    if channels is not None and channels != expected and len(classes) >= 2:
        hint = "; one channel for two classes needs swath:threshold" if channels == 1 and len(classes) == 2 else ""
        reader.wrong("mlm:output.0.result.shape", f"says {channels} channels, but the classes need {expected}{hint}")


def _nodata(reader: DocumentReader, document: dict[str, Any], output: str, dtype: str) -> float:
    floating = dtype.startswith("float")
    given = document.get("swath:nodata", 255 if output == "classes" else "nan" if floating else None)
    if given is None:
        reader.wrong("swath:nodata", f"is missing: a map of {dtype} values needs one")
        return math.nan
    if given == "nan" and floating:
        return math.nan
    low, high = DTYPE_RANGES[dtype]
    if not is_number(given) or not low <= given <= high or (not floating and given != int(given)):
        also = ', or "nan"' if floating else ""
        reader.wrong("swath:nodata", f"must be a number that {dtype} can hold{also}, not {json.dumps(given)}")
        return math.nan
    return cast(float, given)
