"""One call: a region's strips equal the whole image, whatever the pieces, and nothing is read that nobody wants."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import swath.maps.region as region_module
from swath.errors import ReadFailed
from swath.geo import Window
from swath.graph.call_context import reporting_to
from swath.imagery.geometry.image_grid import area_mask
from swath.imagery.scene import Scenes
from swath.maps.region import map_region, map_strips
from swath.models.infer import infer
from swath.models.load import load_model
from swath.models.probabilities import probability_bands
from swath.spec.fields.area import Area
from swath.spec.fields.output import Probabilities
from tests.maps.case import Case


def diamond(case: Case) -> Area:
    """An area in the middle whose corners touch no edge."""
    grid = case.scenes.image
    x, y = grid.affine @ (98, 100)
    points = [(x - 600, y), (x, y + 700), (x + 600, y), (x, y - 700), (x - 600, y)]
    ring = ", ".join(f"{a} {b}" for a, b in points)
    return Area(wkt=f"POLYGON (({ring}))", crs="EPSG:32633")


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 8), st.integers(1, 14), st.booleans())
def test_any_regions_and_pieces_equal_the_whole_image(case: Case, size: int, piece: int, within: bool) -> None:
    area = diamond(case) if within else None
    expected = case.whole.copy()
    if area is not None:
        expected[:, ~area_mask(area, case.scenes.image, case.window)] = 255
    form = replace(case.layout(16 * min(piece, 2 * size)), levels=(1,))
    found = np.zeros_like(expected)
    for region in case.regions(32 * size):
        made = map_region(region, case.scenes, case.model, area, form)
        at = (slice(None), *region.block.window.roi)
        assert made.place == (0, region.block.index)
        found[at] = made.map.pixels()
        counts = np.bincount(found[at].ravel(), minlength=256)
        assert dict(made.map.counts) == {n: c for n, c in enumerate(counts.tolist()) if c and n != 255}
    assert np.array_equal(found, expected)


@pytest.mark.slow
def test_only_what_the_area_wants_is_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Window] = []
    honest = region_module.read_mosaic

    def counting(scenes: Scenes, window: Window, **options: bool) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
        asked.append(window)
        return honest(scenes, window, **options)

    monkeypatch.setattr(region_module, "read_mosaic", counting)
    area = diamond(case)
    (region,) = case.regions(256)
    made = map_region(region, case.scenes, case.model, area, case.layout(16))
    wanted = area_mask(area, case.scenes.image, case.window)
    rows, cols = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    room = case.model.halo + case.model.stride + 16
    assert min(w.row for w in asked) >= rows[0] - room
    assert max(w.stop_row for w in asked) <= rows[-1] + room
    assert all(w.col >= cols[0] - room and w.stop_col <= cols[-1] + room for w in asked)
    assert made.map.valid == int((wanted & (case.pixels != 0).any(axis=0)).sum())


def test_a_strip_that_cannot_be_read_ends_the_call_and_the_next_call_is_well(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, number = region_module.read_mosaic, itertools.count()

    def torn(scenes: Scenes, window: Window, **options: bool) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
        if next(number) == 2:
            raise ReadFailed("torn.tif: cut")
        return honest(scenes, window, **options)

    (region,) = case.regions(256)
    monkeypatch.setattr(region_module, "read_mosaic", torn)
    with pytest.raises(ReadFailed, match=r"torn\.tif"):
        map_region(region, case.scenes, case.model, None, case.layout(32))
    monkeypatch.setattr(region_module, "read_mosaic", honest)
    made = map_region(region, case.scenes, case.model, None, case.layout(32))
    assert np.array_equal(made.map.pixels(), case.whole)


def test_a_caller_that_leaves_early_leaves_no_read_behind(case: Case) -> None:
    strips = map_strips(case.window, case.scenes, case.model, None, case.layout(16))
    first = next(strips)[0]
    strips.close()
    assert np.array_equal(first, case.whole[:, :16])
    again = [strip[0] for strip in map_strips(case.window, case.scenes, case.model, None, case.layout(64))]
    assert np.array_equal(np.concatenate(again, axis=1), case.whole)


def test_progress_counts_every_pixel_once(case: Case) -> None:
    told: list[tuple[int, float]] = []
    with reporting_to(lambda done, total, pixels, km2: told.append((pixels, km2)), "run"):
        for region in case.regions(96):
            map_region(region, case.scenes, case.model, None, case.layout(32))
    assert sum(pixels for pixels, _ in told) == 211 * 197
    pixel_m2 = abs(case.scenes.image.resolution.x * case.scenes.image.resolution.y)
    assert sum(km2 for _, km2 in told) == pytest.approx(211 * 197 * pixel_m2 / 1e6, rel=0.01)


def test_probabilities_come_with_the_map_pixel_by_pixel(case: Case) -> None:
    layers = probability_bands(case.model.contract, Probabilities(dtype="float32"))
    (region,) = case.regions(256)
    made = map_region(region, case.scenes, case.model, None, replace(case.layout(64), layers=layers))
    assert made.probabilities is not None
    chances, classes = made.probabilities.pixels(), made.map.pixels()[0]
    valid = classes != 255
    assert np.isnan(chances[:, ~valid]).all()
    assert np.allclose(chances[:, valid].sum(axis=0), 1, atol=1e-5)
    best = np.take_along_axis(chances, np.where(valid, classes, 0)[None].astype(np.intp), axis=0)[0]
    assert (best[valid] == chances[:, valid].max(axis=0)).all()


def test_where_there_is_no_pixel_there_is_nodata(case: Case) -> None:
    (region,) = case.regions(256)
    made = map_region(region, case.scenes, case.model, None, case.layout(64))
    assert ((made.map.pixels()[0] == 255) == (case.pixels == 0).all(axis=0)).all()


def test_pieces_go_together_for_a_gpu_and_the_map_is_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is needed: the network runs on the CPU, all else is what a GPU's pieces go through."""
    sizes: list[int] = []
    network = load_model(case.model)

    def counting(images: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(len(images))
        return network(images)

    monkeypatch.setattr(region_module, "load_model", lambda model: counting)
    (region,) = case.regions(256)
    made = map_region(region, case.scenes, replace(case.model, device="cuda"), None, case.layout(16))
    assert np.array_equal(made.map.pixels(), case.whole)
    assert max(sizes) > 1


def test_a_blended_map_of_an_image_that_is_no_square_is_that_of_the_whole_image(case: Case) -> None:
    model = replace(case.model, exact=False)
    assert model.lattice is not None
    blended = replace(case, model=model)
    whole, _ = infer(load_model(model), model, case.pixels, (case.pixels != 0).any(axis=0), case.window, case.window)
    found = np.zeros_like(whole)
    for region in blended.regions(64):
        made = map_region(region, case.scenes, model, None, case.layout(32))
        found[:, *region.block.window.roi] = made.map.pixels()
    assert np.array_equal(found, whole)
