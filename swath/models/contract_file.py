"""Contract files: JSON in the fields of the STAC MLM extension (v1.4), read into a Contract with every mistake named.

The file is the `properties` of an MLM item, or a whole item. What MLM has no field for stands under `swath:`.
https://github.com/stac-extensions/mlm
"""

from __future__ import annotations

import difflib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from swath.errors import ModelError
from swath.models.contract import Contract, ModelClass
from swath.spec.fields.labels import PALETTE

SCALINGS: dict[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"),
    "z-score": ("mean", "stddev"),
    "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",),
    "clip-max": ("maximum",),
    "offset": ("value",),
    "scale": ("value",),
}
"""Kinds of MLM value scaling that swath applies, with the numbers that each needs."""

RANGES = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "float32": (-3.4028234663852886e38, 3.4028234663852886e38),
}
"""Data types that a map can have, with their smallest and largest numbers."""

OWN = (
    "units",
    "output",
    "threshold",
    "dtype",
    "nodata",
    "resolution_m",
    "metrics",
    "training_data",
    "training",
    "licence",
)
"""Fields under `swath:`; the last four are notes for readers (and `training` for evaluate)."""

EXAMPLE = """{
  "mlm:name": "my-model",
  "mlm:architecture": "U-Net",
  "mlm:tasks": ["semantic-segmentation"],
  "mlm:input": [{
    "name": "image",
    "bands": ["blue", "green", "red", "nir"],
    "input": {"shape": [-1, 4, -1, -1], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32"},
    "value_scaling": [{"type": "min-max", "minimum": 0, "maximum": 255}]
  }],
  "mlm:output": [{
    "name": "logits",
    "tasks": ["semantic-segmentation"],
    "result": {"shape": [-1, 2, -1, -1], "dim_order": ["batch", "class", "height", "width"], "data_type": "float32"},
    "classification:classes": [
      {"value": 0, "name": "land", "color_hint": "E6DFC8"},
      {"value": 1, "name": "water", "color_hint": "2B7BBA"}
    ]
  }],
  "swath:units": "dn"
}"""
"""The least that a contract has to say."""

_CHANNELS = ("channel", "channels", "band", "bands", "class", "classes", "score", "confidence")


def contract_path(weights: str) -> Path:
    """Where the contract of these weights is looked for: the same name, ending in .json."""
    path = Path(weights)
    for ending in (".torchscript.pt", path.suffix):
        if ending and path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    return path.with_name(path.name + ".json")


def read_contract(path: str | Path) -> Contract:
    """Read a model's contract.

    Raises ModelError: one line for each mistake, with file and field; or, when there is no such file, an example of one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{path}: the model's contract is missing",
            remedy=f"write that file; the least that it has to say:\n{EXAMPLE}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: the model's contract cannot be read: {error}") from error
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}", remedy="correct the file, or write it anew") from error
    return parse_contract(document, source=str(path))


def parse_contract(document: Any, *, source: str = "contract") -> Contract:
    """A Contract from parsed JSON; `source` is how messages call it. Raises ModelError as read_contract does."""
    reader = _Reader(source)
    if isinstance(document, dict) and document.get("type") == "Feature":
        document = document.get("properties")
    if not isinstance(document, dict):
        raise ModelError(f"{source}: a contract is a JSON object", remedy=f"the least that it has to say:\n{EXAMPLE}")
    contract = _contract(reader, document)
    if contract is None or reader.mistakes:
        raise ModelError(
            "\n".join(reader.mistakes), remedy="docs of the fields: https://github.com/stac-extensions/mlm"
        )
    return contract


def item_properties(contract: Contract) -> dict[str, Any]:
    """The contract's `mlm:` fields, as they stand in its file."""
    return {key: value for key, value in (contract.mlm or {}).items() if key.startswith("mlm:")}


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is not JSON; write "nan" for a nodata that is not a number')


@dataclass
class _Reader:
    """Takes values out of the document and collects what is wrong with them."""

    source: str
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, where: str, message: str) -> None:
        self.mistakes.append(f"{self.source}: {where}: {message}")

    def text(self, holder: dict[str, Any], key: str, where: str = "") -> str:
        value = self._required(holder, key, where)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.wrong(where + key, f"must be a text, not {json.dumps(value)}")
        return value if isinstance(value, str) else ""

    def one_of(self, holder: dict[str, Any], key: str, options: tuple[str, ...], default: str | None = None) -> str:
        value = holder.get(key, default)
        if value is None:
            self.wrong(key, f"is missing; one of {', '.join(options)}")
        elif value not in options:
            self.wrong(key, f"must be one of {', '.join(options)}, not {json.dumps(value)}{_guess(value, options)}")
        return value if value in options else options[0]

    def number(self, holder: dict[str, Any], key: str, where: str = "", default: float | None = None) -> float | None:
        value = holder.get(key, default)
        if value is None or (is_number(value) and math.isfinite(value)):
            return cast("float | None", value)
        self.wrong(where + key, f"must be a number, not {json.dumps(value)}")
        return None

    def single(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        value = self._required(document, key, "")
        if value is None:
            return {}
        if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
            count = f"{len(value)} entries" if isinstance(value, list) else json.dumps(value)
            self.wrong(
                key, f"must be a list with one object, not {count}: swath runs models with one input and one output"
            )
            return {}
        return value[0]

    def _required(self, holder: dict[str, Any], key: str, where: str) -> Any:
        value = holder.get(key)
        if value is None:
            self.wrong(where + key, f"is missing{_guess(key, tuple(holder))}")
        return value


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _guess(word: Any, options: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(word), options, n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""


def _contract(reader: _Reader, document: dict[str, Any]) -> Contract | None:
    for key in document:
        if key.startswith("swath:") and key.removeprefix("swath:") not in OWN:
            reader.wrong(key, f"no such field{_guess(key, tuple('swath:' + name for name in OWN))}")
    name = reader.text(document, "mlm:name")
    bands, scaling = _input(reader, reader.single(document, "mlm:input"))
    classes, channels = _output(reader, reader.single(document, "mlm:output"))
    units = reader.one_of(document, "swath:units", ("reflectance", "dn"))
    output = reader.one_of(document, "swath:output", ("classes", "values"), "classes" if classes else "values")
    threshold = reader.number(document, "swath:threshold")
    resolution = reader.number(document, "swath:resolution_m")
    if resolution is not None and resolution <= 0:
        reader.wrong("swath:resolution_m", f"must be above 0, not {resolution}")
    dtype = reader.one_of(document, "swath:dtype", tuple(RANGES), "uint8" if output == "classes" else "float32")
    nodata = _nodata(reader, document, output, dtype)
    if output == "classes":
        _check_classes(reader, classes, channels, threshold, dtype, nodata)
    else:
        if threshold is not None:
            reader.wrong("swath:threshold", "only goes with swath:output classes")
        if channels is None:
            reader.wrong("mlm:output.0.result.shape", "must say the number of channels where the output is values")
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
    )


def _input(reader: _Reader, given: dict[str, Any]) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...]]:
    if not given:
        return (), ()
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
    channels = _array(reader, given, "input", where)
    if channels is not None and bands and channels != len(bands):
        reader.wrong(where + "input.shape", f"says {channels} channels, but bands names {len(bands)}")
    if given.get("resize_type") is not None:
        reader.wrong(
            where + "resize_type", "must be null: swath reads pixels on the map's grid and does not resize them"
        )
    if given.get("pre_processing_function") is not None:
        reader.wrong(where + "pre_processing_function", "must be null: use value_scaling, or put it into the model")
    return tuple(bands), _scaling(reader, given.get("value_scaling"), len(bands), where + "value_scaling")


def _array(reader: _Reader, holder: dict[str, Any], key: str, where: str) -> int | None:
    """The channels of an input or result structure; None when variable or not known."""
    structure = holder.get(key)
    if not isinstance(structure, dict):
        reader.wrong(where + key, "must be an object with shape, dim_order and data_type")
        return None
    if structure.get("data_type") != "float32":
        reader.wrong(f"{where}{key}.data_type", f"must be float32, not {json.dumps(structure.get('data_type'))}")
    order = structure.get("dim_order")
    if (
        not isinstance(order, list)
        or len(order) != 4
        or [order[i] for i in (0, 2, 3)] != ["batch", "height", "width"]
        or order[1] not in _CHANNELS
    ):
        reader.wrong(
            f"{where}{key}.dim_order", f"must be batch, channel (or class), height, width, not {json.dumps(order)}"
        )
    shape = structure.get("shape")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(n) is int and (n > 0 or n == -1) for n in shape):
        reader.wrong(f"{where}{key}.shape", "must be four numbers, each above 0, or -1 where it varies")
        return None
    return None if shape[1] == -1 else cast(int, shape[1])


def _scaling(reader: _Reader, given: Any, bands: int, where: str) -> tuple[dict[str, Any], ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) not in (1, bands) or not all(isinstance(s, dict) for s in given):
        reader.wrong(where, f"must be null, or a list with one object for all bands or {bands}: one per band")
        return ()
    for position, scaling in enumerate(given):
        place = f"{where}.{position}."
        kind = scaling.get("type", "")
        if kind is None:
            continue
        if kind not in SCALINGS:
            known = f"swath knows {', '.join(SCALINGS)} and null"
            reader.wrong(
                place + "type", f"{json.dumps(kind)} cannot be applied; {known}{_guess(kind, tuple(SCALINGS))}"
            )
            continue
        for need in SCALINGS[kind]:
            if scaling.get(need) is None:
                reader.wrong(place + need, f"is missing: {kind} needs it")
        numbers = {need: reader.number(scaling, need, place) for need in SCALINGS[kind]}
        low, high = numbers.get("minimum"), numbers.get("maximum")
        if low is not None and high is not None and low >= high:
            reader.wrong(place + "maximum", f"must be above minimum, but {high} is not above {low}")
        deviation = numbers.get("stddev")
        if deviation is not None and deviation <= 0:
            reader.wrong(place + "stddev", f"must be above 0, not {deviation}")
        if kind == "scale" and numbers["value"] == 0:
            reader.wrong(place + "value", "must not be 0: pixels are divided by it")
    return tuple(given)


def _output(reader: _Reader, given: dict[str, Any]) -> tuple[tuple[ModelClass, ...], int | None]:
    if not given:
        return (), None
    where = "mlm:output.0."
    channels = _array(reader, given, "result", where)
    if given.get("post_processing_function") is not None:
        reader.wrong(
            where + "post_processing_function", "must be null: swath takes the largest class, or swath:threshold"
        )
    listed = given.get("classification:classes")
    if listed is None:
        return (), channels
    where += "classification:classes"
    if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
        reader.wrong(where, "must be a list of objects with value, name and color_hint")
        return (), channels
    classes: list[ModelClass] = []
    for position, entry in enumerate(listed):
        place = f"{where}.{position}."
        value, name = entry.get("value"), reader.text(entry, "name", place)
        if type(value) is not int or not 0 <= value <= 254:
            reader.wrong(place + "value", f"must be a whole number from 0 to 254, not {json.dumps(value)}")
            value = -1
        hint = entry.get("color_hint", PALETTE[position % len(PALETTE)])
        if not _is_color(hint):
            reader.wrong(place + "color_hint", f"must be six hexadecimal digits such as 2B7BBA, not {json.dumps(hint)}")
            hint = PALETTE[0]
        red, green, blue = bytes.fromhex(hint)
        classes.append(ModelClass(value, name, (red, green, blue)))
    return tuple(classes), channels


def _is_color(hint: Any) -> bool:
    return isinstance(hint, str) and len(hint) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in hint)


def _check_classes(
    reader: _Reader,
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
    if threshold is not None and len(classes) != 2:
        reader.wrong("swath:threshold", f"needs two classes, below it and from it on, not {len(classes)}")
    expected = 1 if threshold is not None else len(classes)
    if channels is not None and channels != expected and len(classes) >= 2:
        hint = "; one channel for two classes needs swath:threshold" if channels == 1 and len(classes) == 2 else ""
        reader.wrong("mlm:output.0.result.shape", f"says {channels} channels, but the classes need {expected}{hint}")


def _nodata(reader: _Reader, document: dict[str, Any], output: str, dtype: str) -> float:
    floating = dtype.startswith("float")
    given = document.get("swath:nodata", 255 if output == "classes" else "nan" if floating else None)
    if given is None:
        reader.wrong("swath:nodata", f"is missing: a map of {dtype} values needs one")
        return math.nan
    if given == "nan" and floating:
        return math.nan
    low, high = RANGES[dtype]
    if not is_number(given) or not low <= given <= high or (not floating and given != int(given)):
        also = ', or "nan"' if floating else ""
        reader.wrong("swath:nodata", f"must be a number that {dtype} can hold{also}, not {json.dumps(given)}")
        return math.nan
    return cast(float, given)
