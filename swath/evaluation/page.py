"""HTML page of an evaluation: scores, confusion matrix, calibration and the worst places, self-contained."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.calibration import BRIER
from swath.evaluation.summary import BY_CLASS, SCORE_NAMES, Summary

if TYPE_CHECKING:
    from jinja2 import Template

_UNKNOWN = (150, 150, 150)


@dataclass(frozen=True)
class WorstPlace:
    """A block with many wrong pixels."""

    where: str
    """Coordinates of its centre, as text."""
    pixels: int
    """Scored pixels."""
    wrong: int
    """Of them, those whose prediction is not their label."""
    pictures: tuple[str, ...]
    """PNG as base64: the image if there is one, labels, predictions."""


def class_picture(numbers: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> str:
    """Class numbers (height, width) as a base64 PNG; pixels without a class are grey."""
    table = np.full((256, 3), _UNKNOWN, np.uint8)
    table[: len(colors)] = colors
    return encode_png(table[numbers])


def image_picture(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> str:
    """An image (3 or 1 bands, height, width), stretched from the 2nd to the 98th percentile, as a base64 PNG."""
    layers = pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, axis=0)
    rgb = np.zeros((*valid.shape, 3), np.uint8)
    for number, layer in enumerate(layers):
        known = layer[valid].astype(np.float64)
        low, high = np.percentile(known, (2, 98)) if known.size else (0, 1)
        rgb[..., number] = np.clip(255 * (layer - low) / max(high - low, 1e-12), 0, 255)
    rgb[~valid] = _UNKNOWN
    return encode_png(rgb)


def encode_png(rgb: NDArray[np.uint8]) -> str:
    """RGB (height, width, 3), uint8, as a base64 PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def render_page(
    title: str,
    subject: str,
    summary: Summary,
    classes: Sequence[Any],
    *,
    draws: int,
    object_iou: float,
    worst: Sequence[WorstPlace],
    warnings: Sequence[str],
    about: Mapping[str, Any],
) -> str:
    """The page as HTML. `subject` says which pixels were scored; `classes` are those of the legend, in the order of the matrix."""
    return _template().render(
        title=title,
        subject=subject,
        summary=summary,
        classes=classes,
        by_class=BY_CLASS,
        score_names=SCORE_NAMES,
        brier=BRIER,
        number=_number,
        draws=draws,
        object_iou=object_iou,
        worst=worst,
        warnings=warnings,
        about=about,
        curve=summary.calibration.curve() if summary.calibration is not None else (),
    )


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


@cache
def _template() -> Template:
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
