"""The preview: a PNG of the map with title, legend and scale bar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw, ImageFont
from rasterio.enums import Resampling

from swath.imagery.geometry.orientation import Orientation
from swath.imagery.geometry.pixel_area import PixelArea
from swath.maps.color_ramp import RAMP
from swath.maps.gdal import gdal_write_env, open_map
from swath.maps.legend import Legend, class_shares
from swath.storage.durable_write import sync, writing

MAX_EDGE = 1600
"""Longest side of the picture in pixels."""
_SMALLEST = 900
"""A map with a shorter longest side is enlarged by a whole factor."""
_MARGIN = 36
_ASLANT_DEG = 2.0
"""From this angle on the picture says where north is."""
_INK, _FAINT, _PAPER, _VOID = (28, 32, 38), (104, 112, 122), (255, 255, 255), (232, 235, 238)


def write_preview(
    path: Path,
    cog: Path | str,
    classes: Legend,
    title: str,
    *,
    subtitle: str = "",
    counts: Mapping[int, int] | None = None,
) -> None:
    """Draw the map as a PNG of at most 1600 pixels (more only for a legend of over 20 classes), read from its overviews.

    With `classes`: their colours, and a legend with each one's share of the valid pixels, from `counts` (pixels of each value
    in the whole map; counted in the overview when not given). Without: three bands of bytes are a colour image, anything else is
    its first band from low to high. Nodata is light grey. North is at the top, to the nearest quarter turn; the subtitle says where it
    is on a grid that is turned by another angle. There is a scale bar where the map has a CRS; pixels that are
    not square on the ground (degrees) are drawn in their true proportions. Raises TaskFailed when `path` cannot be written.
    """
    with gdal_write_env(), open_map(cog) as file:
        pixel_area = PixelArea.of(GeoBox(file.shape, file.transform, file.crs.to_wkt() if file.crs else None))
        upright = Orientation.of(file.transform, georeferenced=file.crs is not None)
        width, height = _size(file.shape, pixel_area)
        small = (min(height, file.height), min(width, file.width))
        picture, legend = _paint(file, small, classes, counts)
        metres = pixel_area.width_m * file.width / width if pixel_area else None
        if upright.transposed:
            metres = pixel_area.height_m * file.height / height if pixel_area else None
            width, height = height, width
    picture = np.ascontiguousarray(upright.apply(picture))
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
    if abs(upright.north_deg) >= _ASLANT_DEG:
        side = "right" if upright.north_deg > 0 else "left"
        subtitle = (
            f"{subtitle}{'; ' if subtitle else ''}north is {abs(upright.north_deg):.0f} degrees to the {side} of up"
        )
    sheet = _Sheet(image, title, subtitle, wide=not legend or image.width > image.height * 1.25)
    sheet.draw(legend, metres)
    with writing(path):
        sheet.canvas.save(path, compress_level=6)  # 9 takes ten times as long for a hundredth of the bytes
        sync(path)


def _size(shape: tuple[int, int], pixel_area: PixelArea | None) -> tuple[int, int]:
    """(width, height) of the map in the picture, in pixels."""
    height, width = (float(each) for each in shape)
    if pixel_area is not None and math.isfinite(pixel_area.width_m / pixel_area.height_m):
        stretch = pixel_area.height_m / pixel_area.width_m  # the shorter side of a pixel stays, so no detail is lost
        width, height = (width, height * stretch) if stretch >= 1 else (width / stretch, height)
    space = MAX_EDGE - 3 * _MARGIN - 250  # for the title and the legend beside or below the map
    longest = max(width, height)
    scale = space / longest if longest > space else max(1, _SMALLEST // longest)
    return max(1, round(width * scale)), max(1, round(height * scale))


Entry = tuple[tuple[int, int, int], str, str]
"""A line of the legend: colour, name, share."""


def _paint(
    file: rasterio.io.DatasetReader, shape: tuple[int, int], classes: Legend, counts: Mapping[int, int] | None
) -> tuple[NDArray[np.uint8], list[Entry] | _Ramp]:
    """The map in colours, (rows, columns, 3), and its legend."""
    if classes:
        values = file.read(1, out_shape=shape, resampling=Resampling.mode)
        colors = np.full((256, 3), _VOID, dtype=np.uint8)
        for each in classes:
            colors[each.value] = each.color
        if file.nodata is not None and 0 <= file.nodata <= 255:
            colors[int(file.nodata)] = _VOID
        if counts is None:
            found = np.bincount(values.ravel(), minlength=256)
            counts = {each.value: int(found[each.value]) for each in classes if each.value != file.nodata}
        lines = [
            (each.color, each.name, _percent(share.fraction))
            for each, share in zip(classes, class_shares(classes, dict(counts)), strict=True)
        ]
        return colors[values], lines
    if file.count == 3 and file.dtypes[0] == "uint8":
        bands = file.read(out_shape=(3, *shape), resampling=Resampling.average, masked=True)
        empty = np.ma.getmaskarray(bands).all(axis=0)
        picture = np.moveaxis(bands.data, 0, -1).copy()
        picture[empty] = _VOID
        return picture, []
    band = file.read(1, out_shape=shape, resampling=Resampling.average, masked=True).astype(np.float64)
    valid = ~np.ma.getmaskarray(band) & np.isfinite(band.data)
    picture = np.full((*shape, 3), _VOID, dtype=np.uint8)
    if not valid.any():
        return picture, []
    low, high = (float(each) for each in np.percentile(band.data[valid], (2, 98)))
    picture[valid] = _ramp((band.data[valid] - low) / ((high - low) or 1))
    return picture, _Ramp(file.descriptions[0] or "value", low, high)


class _Ramp:
    """The legend of a map of values."""

    def __init__(self, name: str, low: float, high: float) -> None:
        self.name, self.low, self.high = name, low, high


def _ramp(position: NDArray[np.float64]) -> NDArray[np.uint8]:
    """0..1 to RGB."""
    stops = np.linspace(0, 1, len(RAMP))
    bands = [np.interp(np.clip(position, 0, 1), stops, [color[band] for color in RAMP]) for band in range(3)]
    return np.stack(bands, axis=-1).round().astype(np.uint8)


def _percent(fraction: float) -> str:
    """Such as 12.3 %; a share that would round to 0.0 % is < 0.1 %."""
    if 0 < fraction < 0.0005:
        return "< 0.1 %"
    return f"{fraction * 100:.1f} %"


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


class _Sheet:
    """The page: title above, map, and the legend to its right, or below where the map is wide."""

    def __init__(self, image: Image.Image, title: str, subtitle: str, *, wide: bool) -> None:
        self.image, self.title, self.subtitle, self.wide = image, title, subtitle, wide
        self.column = 250
        self.top = _MARGIN + 44 + (26 if subtitle else 0)

    def draw(self, legend: list[Entry] | _Ramp, metres: float | None) -> None:
        """Draw everything. `metres` is the width of one pixel of the picture; None when the map has no CRS."""
        below = self._legend_height(legend) if self.wide else 0
        left = max(self.image.width, 620) if self.wide else self.image.width
        width = _MARGIN * 2 + max(left + (0 if self.wide else self.column + _MARGIN), 620)
        height = (
            self.top + max(self.image.height, 0 if self.wide else self._legend_height(legend) + 80) + _MARGIN + below
        )
        self.canvas = Image.new("RGB", (width, height), _PAPER)
        self.pen = ImageDraw.Draw(self.canvas)
        self.pen.text((_MARGIN, _MARGIN - 8), self._fit_text(self.title, 32, width - 2 * _MARGIN), _INK, _font(32))
        if self.subtitle:
            self.pen.text(
                (_MARGIN, _MARGIN + 34), self._fit_text(self.subtitle, 18, width - 2 * _MARGIN), _FAINT, _font(18)
            )
        self.canvas.paste(self.image, (_MARGIN, self.top))
        edge = (_MARGIN - 1, self.top - 1, _MARGIN + self.image.width, self.top + self.image.height)
        self.pen.rectangle(edge, outline=(190, 196, 202))
        bottom = self.top + self.image.height
        if self.wide:
            x, y, space = _MARGIN, bottom + 22, left
            if metres:
                self._scale(metres, x + space, y + 22, right=True)
        else:
            x, y, space = _MARGIN * 2 + left, self.top, self.column
            if metres:
                self._scale(metres, x, max(bottom, y + self._legend_height(legend) + 60) - 4, right=False)
        if isinstance(legend, _Ramp):
            self._ramp(legend, x, y, min(space, 320))
        else:
            self._entries(legend, x, y, space)

    def _per_row(self) -> int:
        return max(1, (max(self.image.width, 620) - 260) // 230) if self.wide else 1

    def _legend_height(self, legend: list[Entry] | _Ramp) -> int:
        rows = 2 if isinstance(legend, _Ramp) else math.ceil(len(legend) / self._per_row())
        return 22 + max(rows * (34 if self.wide else 56), 34)

    def _entries(self, legend: list[Entry], x: int, y: int, space: int) -> None:
        step = 230 if self.wide else space
        for number, (color, name, share) in enumerate(legend):
            row, column = divmod(number, self._per_row())
            left, top = x + column * step, y + row * (34 if self.wide else 56)
            self.pen.rounded_rectangle((left, top, left + 22, top + 22), 4, fill=color, outline=(150, 156, 162))
            if self.wide:
                end = left + 32 + self._length(name := self._fit_text(name, 18, step - 120), 18)
                self.pen.text((left + 32, top), name, _INK, _font(18))
                self.pen.text((end + 10, top), share, _FAINT, _font(18))
            else:
                self.pen.text((left + 34, top - 2), self._fit_text(name, 20, step - 40), _INK, _font(20))
                self.pen.text((left + 34, top + 23), share, _FAINT, _font(17))

    def _ramp(self, legend: _Ramp, x: int, y: int, space: int) -> None:
        bar = _ramp(np.linspace(0, 1, space))[np.newaxis].repeat(18, axis=0)
        self.pen.text((x, y - 4), self._fit_text(legend.name, 18, space), _INK, _font(18))
        self.canvas.paste(Image.fromarray(bar), (x, y + 24))
        low, high = f"{legend.low:.4g}", f"{legend.high:.4g}"
        self.pen.text((x, y + 46), low, _FAINT, _font(16))
        self.pen.text((x + space - self._length(high, 16), y + 46), high, _FAINT, _font(16))

    def _scale(self, metres: float, x: int, y: int, *, right: bool) -> None:
        """A bar of a round length; its right or left end is at x, its lower edge at y."""
        length, label = scale_bar(metres, 200)
        start = x - length if right else x
        self.pen.line([(start, y - 7), (start, y), (start + length, y), (start + length, y - 7)], fill=_INK, width=2)
        self.pen.text((start + length / 2 - self._length(label, 17) / 2, y - 28), label, _INK, _font(17))

    def _length(self, text: str, size: int) -> int:
        return math.ceil(self.pen.textlength(text, _font(size)))

    def _fit_text(self, text: str, size: int, space: int) -> str:
        """The text in one line, cut with an ellipsis where it is too long."""
        text = "".join(each if each.isprintable() else " " for each in text)
        if self._length(text, size) <= space:
            return text
        while text and self._length(text + "...", size) > space:
            text = text[:-1]
        return text + "..."


def scale_bar(metres: float, longest: int) -> tuple[int, str]:
    """Length in pixels, at most `longest`, and label of the longest bar of 1, 2 or 5 times a power of ten metres, when a pixel
    is `metres` wide."""
    power = 10.0 ** math.floor(math.log10(metres * longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= metres * longest)
    label = f"{length / 1000:g} km" if length >= 1000 else (f"{length:g} m" if length >= 1 else f"{length * 100:g} cm")
    return max(1, round(length / metres)), label
