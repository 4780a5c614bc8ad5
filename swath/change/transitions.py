"""Transitions: what each pixel was and what it is now, from two states of one place on one grid.

The value of a transition is `from * n + to`, n being the number of classes: it means the same in every map of these classes. What
was the same class before and now is a transition as well, such as `still water`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import AreaError, ImageryError
from swath.geo import Region, Window
from swath.graph.call_context import progress
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import area_mask, pixel_offset
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.labels.labels import LabelSource, find_labels, read_labels
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scene, Scenes
from swath.imagery.sources.find import find, resampling_notes
from swath.maps.class_map import open_class_map
from swath.maps.cog.encoded_part import PartBuilder
from swath.maps.layout import MapLayout
from swath.maps.legend import Legend, MapClass, legend_from_classes
from swath.maps.region_result import RegionResult
from swath.spec.fields.labels import IGNORE_CLASS, IGNORE_INDEX, LabelClass

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import Imagery
    from swath.spec.fields.labels import ExpressionLabels

NODATA = 255
"""Of a change map: where either state is not known."""
MAX_CLASSES = 15
"""Classes: the values of their transitions fit into a byte beside nodata."""
_STEPS = 1 << 16
"""Areas are counted in this part of the middle pixel's: whole numbers add up to the same in any order."""
_ROWS = 256
"""Rows that are compared at once."""


@dataclass(frozen=True)
class MapState:
    """One of the two: a map's path, or imagery for a rule."""

    name: str
    map: str | None = None
    imagery: Imagery | None = None


@dataclass(frozen=True)
class MapSource:
    """A map of classes, brought onto the pixels of `scenes.image` by the nearest."""

    scenes: Scenes
    numbers: tuple[tuple[int, int], ...]
    """Value in the map -> number of the class."""
    area: Area | None

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Numbers of classes, uint8 (height, width); IGNORE_INDEX where there is none."""
        pixels, valid = read_mosaic(self.scenes, window)
        numbers = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for value, number in self.numbers:
            numbers[(pixels[0] == value) & valid] = number
        if self.area is not None:
            numbers[~area_mask(self.area, self.scenes.image, window)] = IGNORE_INDEX
        return numbers


Source = MapSource | LabelSource


def read_state(source: Source, window: Window) -> NDArray[np.uint8]:
    """Numbers of classes in a window, uint8 (height, width); IGNORE_INDEX where nothing is known. Raises what reading raises."""
    return source.read(window) if isinstance(source, MapSource) else read_labels(source, window)


@dataclass(frozen=True)
class StatePair:
    """Two states of one place, on one grid. Holds no pixels."""

    before: Source
    after: Source
    classes: Legend
    """Those of both; values are positions."""
    names: tuple[str, str]
    """Of the two states."""
    scenes: Scenes
    """The grid, what the states are from and when; nothing is read through it."""

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """All that can be, in the order of their values."""
        return tuple(Transition(one, other, len(self.classes)) for one in self.classes for other in self.classes)


@dataclass(frozen=True)
class Transition:
    """From one class to another, or to the same."""

    before: MapClass
    after: MapClass
    classes: int
    """How many there are."""

    @property
    def value(self) -> int:
        return self.before.value * self.classes + self.after.value

    @property
    def changed(self) -> bool:
        return self.before != self.after

    @property
    def name(self) -> str:
        return f"{self.before.name} -> {self.after.name}" if self.changed else f"still {self.after.name}"

    @property
    def color(self) -> tuple[int, int, int]:
        """What has changed has the colour of what it became, with some of what it was; what has not is pale."""
        if self.changed:
            return _mixed(self.after.color, self.before.color, 0.2)
        return _mixed(self.after.color, (255, 255, 255), 0.72)


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """With this share of the other."""
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def find_pair(
    states: tuple[MapState, MapState],
    rule: ExpressionLabels | None,
    classes: tuple[LabelClass, ...],
    area: Area | None,
    grid: GridSpec | None,
    background: Iterable[str] = (),
) -> StatePair:
    """Look at both states, and bring the second onto the pixels of the first. `background` are names of transitions that get
    no polygons. Raises ImageryError when classes or grids do not fit, AreaError when the two do not meet."""
    found = [_look(state, rule, classes, area, grid) for state in states]
    legend = _together([each.classes for each in found])
    if len(legend) > MAX_CLASSES:
        raise ImageryError(
            f"the two maps have {len(legend)} classes together, and a change map holds the transitions of {MAX_CLASSES}",
            remedy="Merge classes before, or compare maps of fewer classes.",
        )
    first, second = found
    image = _shared(first.scenes.image, second.scenes.image, states)
    names = tuple(each.name for each in legend)
    before, after = states
    scenes = [replace(each.scenes, image=image) for each in found]
    one, other = (_source(seen, on, rule, names, area) for seen, on in zip(found, scenes, strict=True))
    notes = [note for source in (one, other) if isinstance(source, LabelSource) for note in source.notes]
    for seen, on in zip(found, scenes, strict=True):
        own = seen.scenes.image
        if not seen.map:
            notes += resampling_notes(on)
        elif any(pixel_offset(band.geobox, image) is None for scene in on.scenes for band in scene.bands):
            notes.append(
                f"{seen.told[0].id} ({abs(own.affine.a):g} in {own.crs}): brought onto the pixels of "
                f"{first.told[0].id} by the nearest"
            )
    told = tuple({scene.id: scene for seen in found for scene in seen.told}.values())
    pair = StatePair(
        one, other, legend, (before.name or first.told[0].id, after.name or second.told[0].id),
        Scenes(told, image, (), notes=tuple(dict.fromkeys(notes))),
    )  # fmt: skip
    known = {each.name for each in pair.transitions}
    if strangers := sorted(set(background) - known):
        raise ImageryError(
            f"output.vectors.background: no transition is called {strangers[0]!r}",
            remedy=f"There are: {', '.join(sorted(known))}.",
        )
    return pair


@dataclass(frozen=True)
class _Seen:
    """What a look at a state shows."""

    classes: Legend
    scenes: Scenes
    """To read through."""
    told: tuple[Scene, ...]
    """Names and times."""
    map: bool
    """Whether it is a map, or else imagery for a rule."""


def _look(
    state: MapState,
    rule: ExpressionLabels | None,
    classes: tuple[LabelClass, ...],
    area: Area | None,
    grid: GridSpec | None,
) -> _Seen:
    if state.map is not None:
        seen = open_class_map(state.map, classes)
        return _Seen(seen.classes, seen.scenes, (seen.scene,), map=True)
    if state.imagery is None or rule is None:
        raise ValueError("a state without a map needs imagery and a rule")
    scenes = find(state.imagery, rule.parsed().bands, area, grid)
    named = {each.name: each for each in classes}
    wanted = tuple(
        named.get(name) or LabelClass(name=name) for name in (rule.otherwise, rule.label) if name != IGNORE_CLASS
    )
    told = tuple(replace(scene, bands=(), quality=None) for scene in scenes.scenes)
    return _Seen(legend_from_classes(wanted), scenes, told, map=False)


def _source(
    seen: _Seen, scenes: Scenes, rule: ExpressionLabels | None, names: tuple[str, ...], area: Area | None
) -> Source:
    if not seen.map and rule is not None:
        return find_labels(rule, scenes, names, area)
    return MapSource(scenes, tuple((each.value, names.index(each.name)) for each in seen.classes), area)


def _together(legends: Sequence[Legend]) -> Legend:
    """The classes of both by name, numbered anew; the first one's colour counts."""
    every = {each.name: each for legend in reversed(legends) for each in legend}
    names = dict.fromkeys(each.name for legend in legends for each in legend)
    return tuple(replace(every[name], value=number) for number, name in enumerate(names))


def _shared(first: GeoBox, second: GeoBox, states: tuple[MapState, MapState]) -> GeoBox:
    """The part of the first's grid that the second reaches."""
    if first.crs != second.crs and None in (first.crs, second.crs):
        raise ImageryError(
            "one of the two states has no coordinate reference system, so they cannot be brought together",
            remedy="Georeference it with gdal_translate -a_srs.",
        )
    left, top, right, bottom = extent_pixels(second, first)
    tiny = 1e-6
    reach = Window(int(np.floor(top + tiny)), int(np.floor(left + tiny)), 0, 0)
    reach = replace(reach, height=int(np.ceil(bottom - tiny)) - reach.row, width=int(np.ceil(right - tiny)) - reach.col)
    within = reach.intersection(Window(0, 0, *first.shape))
    if within is None:
        raise AreaError(
            f"{states[0].name or 'before'} and {states[1].name or 'after'} do not meet",
            remedy="Check the files, and their CRS.",
        )
    return first if within.shape == first.shape else first[within.roi]


@dataclass(frozen=True)
class RegionComparison(RegionResult):
    """What one call makes of a region: its part of the map, and the ground of each transition."""

    steps: tuple[tuple[int, int], ...] = ()
    """(value, ground in steps), see Table; empty without a CRS."""


def compare_region(region: Region, pair: StatePair, form: MapLayout) -> RegionComparison:
    """One region of the change map. Raises what reading raises."""
    window, count = region.block.window, len(pair.classes)
    builder = PartBuilder(region.block.index, window, form.encoding, form.levels[region.sheet])
    ground, totals = _ground(pair.scenes.image), np.zeros(256, np.int64)
    height = max(form.encoding.blocksize, _ROWS)
    for row in range(window.row, window.stop_row, height):
        strip = Window(row, window.col, min(height, window.stop_row - row), window.width)
        before, after = read_state(pair.before, strip), read_state(pair.after, strip)
        values = np.full(strip.shape, NODATA, np.uint8)
        known = (before != IGNORE_INDEX) & (after != IGNORE_INDEX)
        values[known] = before[known] * np.uint8(count) + after[known]
        if ground is not None:
            totals += _steps(values, ground, strip)
        builder.add(values[None])
        progress(pixels=values.size)
    found = tuple((int(value), int(totals[value])) for value in np.flatnonzero(totals) if value != NODATA)
    return RegionComparison(region.sheet, builder.part(), None, found)


@lru_cache(maxsize=4)
def _ground(image: GeoBox) -> PixelArea | None:
    return PixelArea.of(image)


def step_m2(ground: PixelArea) -> float:
    """Square metres of a step."""
    return ground.width_m * ground.height_m / _STEPS


def _steps(values: NDArray[np.uint8], ground: PixelArea, window: Window) -> NDArray[np.int64]:
    """Ground of each value in a window of the grid, in steps."""
    rows = np.arange(window.row, window.stop_row)[:, None] + 0.5
    columns = np.arange(window.col, window.stop_col)[None, :] + 0.5
    areas = ground.area_m2(*np.broadcast_arrays(rows, columns))
    steps = np.nan_to_num(np.rint(areas / step_m2(ground)))
    return np.bincount(values.ravel(), weights=steps.ravel(), minlength=256).astype(np.int64)


@dataclass(frozen=True)
class TransitionRow:
    """One transition in the table."""

    transition: Transition
    pixels: int
    hectares: float | None
    """None without a CRS."""
    share: float
    """Of the valid pixels, 0..1."""


def transition_rows(made: Iterable[RegionComparison], pair: StatePair) -> tuple[TransitionRow, ...]:
    """The transitions that occur, in the order of their values."""
    pixels, steps = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for each in made:
        for value, count in each.map.counts:
            pixels[value] += count
        for value, count in each.steps:
            steps[value] += count
    ground, valid = _ground(pair.scenes.image), int(pixels[:NODATA].sum())
    return tuple(
        TransitionRow(
            each,
            int(pixels[each.value]),
            None if ground is None else float(steps[each.value]) * step_m2(ground) / 1e4,
            float(pixels[each.value] / valid),
        )
        for each in pair.transitions
        if pixels[each.value]
    )


def transition_legend(rows: Sequence[TransitionRow]) -> Legend:
    """Of the map."""
    return tuple(MapClass(row.transition.value, row.transition.name, row.transition.color) for row in rows)


def transitions_csv(rows: Sequence[TransitionRow]) -> str:
    """One line for each transition that occurs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["value", "from", "to", "pixels", "hectares", "percent"])
    for row in rows:
        each = row.transition
        hectares = "" if row.hectares is None else f"{row.hectares:.4f}"
        writer.writerow([each.value, each.before.name, each.after.name, row.pixels, hectares, f"{100 * row.share:.4f}"])
    return text.getvalue()


def area_matrix(rows: Sequence[TransitionRow], pair: StatePair) -> dict[str, Any]:
    """For the report: from (down) to (along), in hectares, or in pixels without a CRS."""
    known = {row.transition.value: row for row in rows}
    unit = "pixels" if any(row.hectares is None for row in rows) else "hectares"
    count = len(pair.classes)

    def number(one: MapClass, other: MapClass) -> float:
        row = known.get(one.value * count + other.value)
        amount = 0.0 if row is None else row.pixels if row.hectares is None else row.hectares
        return round(amount, 2)

    return {
        "unit": unit,
        "from": pair.names[0],
        "to": pair.names[1],
        "classes": [each.name for each in pair.classes],
        "rows": [[number(one, other) for other in pair.classes] for one in pair.classes],
    }
