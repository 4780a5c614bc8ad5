"""States: two states of one place, each a map or imagery with a rule, opened on the pixel grid of the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.change.transitions import MAX_CLASSES, Transition
from swath.errors import AreaError, ImageryError
from swath.geo import Window
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import area_mask, pixel_offset
from swath.imagery.labels.labels import LabelSource, RuleSource, find_labels, read_counted_labels
from swath.imagery.labels.unknown_values import ValueCounts, count_values
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scene, Scenes
from swath.imagery.sources.find import find, resampling_notes
from swath.imagery.sources.scene_units import check_units
from swath.maps.class_map import open_class_map
from swath.maps.legend import Legend, legend_from_classes
from swath.spec.fields.labels import IGNORE_CLASS, IGNORE_INDEX, LabelClass

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.imagery import Imagery
    from swath.spec.fields.labels import ExpressionLabels


@dataclass(frozen=True)
class MapState:
    """One of the two states in a spec: the path of a map, or imagery for a rule."""

    name: str
    map: str | None = None
    imagery: Imagery | None = None


@dataclass(frozen=True)
class MapSource:
    """A map of classes, resampled onto the pixels of `scenes.image` by nearest neighbour."""

    scenes: Scenes
    numbers: tuple[tuple[int, int], ...]
    """Value in the map -> number of the class."""
    area: Area | None

    def read(self, window: Window) -> tuple[NDArray[np.uint8], ValueCounts]:
        """Class numbers, uint8 (height, width); IGNORE_INDEX where there is none. And the values that are no class."""
        pixels, valid = read_mosaic(self.scenes, window)
        if self.area is not None:
            valid = valid & area_mask(self.area, self.scenes.image, window)
        numbers = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for value, number in self.numbers:
            numbers[(pixels[0] == value) & valid] = number
        other = valid & ~np.isin(pixels[0], [value for value, _ in self.numbers])
        return numbers, count_values(pixels[0][other]) if other.any() else ()


StateSource = MapSource | LabelSource


def read_state(source: StateSource, window: Window) -> tuple[NDArray[np.uint8], ValueCounts]:
    """Class numbers in a window, uint8 (height, width), IGNORE_INDEX where the class is not known; and the values that are no class.
    Raises what reading raises."""
    return source.read(window) if isinstance(source, MapSource) else read_counted_labels(source, window)


@dataclass(frozen=True)
class StatePair:
    """Two states of one place, on one grid. Holds no pixels."""

    before: StateSource
    after: StateSource
    classes: Legend
    """Those of both states; their values are their positions."""
    names: tuple[str, str]
    """Of the two states."""
    scenes: Scenes
    """The grid, and ids and times of the scenes. Has no bands to read."""

    @property
    def inputs(self) -> tuple[Scenes, ...]:
        """The maps and the imagery that are read."""
        found = [one.source if isinstance(one, LabelSource) else one for one in (self.before, self.after)]
        return tuple(each.scenes for each in found if isinstance(each, MapSource | RuleSource))

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """All possible ones, in the order of their values."""
        return tuple(Transition(one, other, len(self.classes)) for one in self.classes for other in self.classes)


def find_pair(
    states: tuple[MapState, MapState],
    rule: ExpressionLabels | None,
    classes: tuple[LabelClass, ...],
    area: Area | None,
    grid: GridSpec | None,
    background: Iterable[str] = (),
) -> StatePair:
    """Open both states, on the pixels of the first that the second covers. `background` are names of transitions that get no
    polygons. Raises ImageryError when classes or grids do not fit, AreaError when the two do not overlap."""
    opened = [_open(state, rule, classes, area, grid) for state in states]
    opened[1] = replace(opened[1], classes=_in_spelling_of(opened[0].classes, opened[1].classes))
    if rule is not None:
        check_units([each.scenes for each in opened if not each.is_map], physical=rule.units == "reflectance")
    legend = _joint_legend([each.classes for each in opened])
    if len(legend) > MAX_CLASSES:
        raise ImageryError(
            f"the two maps have {len(legend)} classes together, and a change map holds the transitions of {MAX_CLASSES}",
            remedy="Merge classes before, or compare maps of fewer classes.",
        )
    first, second = opened
    image = _overlap(first.scenes.image, second.scenes.image, states)
    class_names = tuple(each.name for each in legend)
    regridded = [replace(each.scenes, image=image) for each in opened]
    before, after = (
        _source(state, scenes, rule, class_names, area) for state, scenes in zip(opened, regridded, strict=True)
    )
    notes = _no_common_class(opened[0].classes, opened[1].classes)
    notes += [note for source in (before, after) if isinstance(source, LabelSource) for note in source.notes]
    for state, scenes in zip(opened, regridded, strict=True):
        own = state.scenes.image
        if not state.is_map:
            notes += resampling_notes(scenes)
        elif any(pixel_offset(band.geobox, image) is None for scene in scenes.scenes for band in scene.bands):
            notes.append(
                f"{state.sources[0].id} ({abs(own.affine.a):g} in {own.crs}): resampled onto the pixels of "
                f"{first.sources[0].id} by nearest neighbour"
            )
    sources = tuple({scene.id: scene for state in opened for scene in state.sources}.values())
    names = (states[0].name or first.sources[0].id, states[1].name or second.sources[0].id)
    pair = StatePair(before, after, legend, names, Scenes(sources, image, (), notes=tuple(dict.fromkeys(notes))))
    known = {each.name for each in pair.transitions}
    if unknown := sorted(set(background) - known):
        raise ImageryError(
            f"output.vectors.background: no transition is called {unknown[0]!r}",
            remedy=f"There are: {', '.join(sorted(known))}.",
        )
    return pair


@dataclass(frozen=True)
class _OpenedState:
    """A state on its own grid."""

    classes: Legend
    scenes: Scenes
    """To read."""
    sources: tuple[Scene, ...]
    """Ids and times, without bands."""
    is_map: bool
    """Whether it is a map, or else imagery for a rule."""


def _open(
    state: MapState,
    rule: ExpressionLabels | None,
    classes: tuple[LabelClass, ...],
    area: Area | None,
    grid: GridSpec | None,
) -> _OpenedState:
    if state.map is not None:
        class_map = open_class_map(state.map, classes)
        return _OpenedState(class_map.classes, class_map.scenes, (class_map.scene,), is_map=True)
    if state.imagery is None or rule is None:
        raise ValueError("a state without a map needs imagery and a rule")
    scenes = find(state.imagery, rule.parsed().bands, area, grid)
    named = {each.name: each for each in classes}
    rule_classes = tuple(
        named.get(name) or LabelClass(name=name) for name in (rule.otherwise, rule.label) if name != IGNORE_CLASS
    )
    sources = tuple(replace(scene, bands=(), quality=None) for scene in scenes.scenes)
    return _OpenedState(legend_from_classes(rule_classes), scenes, sources, is_map=False)


def _source(
    state: _OpenedState, scenes: Scenes, rule: ExpressionLabels | None, names: tuple[str, ...], area: Area | None
) -> StateSource:
    if not state.is_map and rule is not None:
        return find_labels(rule, scenes, names, area)
    return MapSource(scenes, tuple((each.value, names.index(each.name)) for each in state.classes), area)


def _in_spelling_of(first: Legend, second: Legend) -> Legend:
    """`second` with the names of `first` where they differ in upper and lower case only."""
    names, own = {each.name.casefold(): each.name for each in first}, {each.name for each in second}
    return tuple(
        replace(each, name=name) if (name := names.get(each.name.casefold(), each.name)) not in own else each
        for each in second
    )


def _no_common_class(first: Legend, second: Legend) -> list[str]:
    """A note where two maps share no name, so that each pixel counts as changed."""
    before, after = [each.name for each in first], [each.name for each in second]
    if set(before) & set(after):
        return []
    return [
        f"the two maps have no class in common, so each pixel counts as changed: {', '.join(before)} before, {', '.join(after)} after. "
        "Name the classes of both alike (classes)"
    ]


def _joint_legend(legends: Sequence[Legend]) -> Legend:
    """The classes of both by name, numbered anew, in the colours of the first."""
    by_name = {each.name: each for legend in reversed(legends) for each in legend}
    names = dict.fromkeys(each.name for legend in legends for each in legend)
    return tuple(replace(by_name[name], value=number) for number, name in enumerate(names))


def _overlap(first: GeoBox, second: GeoBox, states: tuple[MapState, MapState]) -> GeoBox:
    """The part of the first grid that the second covers."""
    if first.crs != second.crs and None in (first.crs, second.crs):
        raise ImageryError(
            "one of the two states has no coordinate reference system, so they cannot be compared",
            remedy="Georeference it with gdal_translate -a_srs.",
        )
    left, top, right, bottom = extent_pixels(second, first)
    tiny = 1e-6
    row, col = int(np.floor(top + tiny)), int(np.floor(left + tiny))
    covered = Window(row, col, int(np.ceil(bottom - tiny)) - row, int(np.ceil(right - tiny)) - col)
    shared = covered.intersection(Window(0, 0, *first.shape))
    if shared is None:
        raise AreaError(
            f"{states[0].name or 'before'} and {states[1].name or 'after'} do not overlap",
            remedy="Check the files, and their CRS.",
        )
    return first if shared.shape == first.shape else first[shared.roi]
