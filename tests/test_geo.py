"""Windows and blocks: what every tiled map rests on."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.engine.fingerprint import fingerprint
from swath.geo import Blocks, Window, sheet_windows
from swath.maps.sheets import sheet_names


def image(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")


@st.composite
def plans(draw: st.DrawFn) -> Blocks:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    output = Window(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))
    return Blocks(
        image(height, width), output, draw(st.integers(1, 100)), draw(st.integers(0, 40)), draw(st.integers(1, 16))
    )


@given(plans())
@settings(max_examples=200, deadline=None)
def test_blocks_cover_each_pixel_of_the_output_once_and_no_other(blocks: Blocks) -> None:
    seen = np.zeros(blocks.image.shape, dtype=int)
    for block in blocks:
        seen[block.window.roi] += 1
    expected = np.zeros(blocks.image.shape, dtype=int)
    expected[blocks.output.roi] = 1
    assert (seen == expected).all()
    assert [block.index for block in blocks] == list(range(len(blocks)))


@given(plans())
@settings(max_examples=200, deadline=None)
def test_a_source_reaches_the_halo_or_the_true_edge_and_starts_at_the_stride(blocks: Blocks) -> None:
    height, width = blocks.image.shape
    for block in blocks:
        inner, source = block.window, block.source
        assert source.row % blocks.stride == 0
        assert source.col % blocks.stride == 0
        assert source.row == 0 or source.row <= inner.row - blocks.halo
        assert source.col == 0 or source.col <= inner.col - blocks.halo
        assert source.stop_row == height or source.stop_row >= inner.stop_row + blocks.halo
        assert source.stop_col == width or source.stop_col >= inner.stop_col + blocks.halo
        assert source.row >= 0
        assert source.col >= 0
        assert source.stop_row <= height
        assert source.stop_col <= width
        # No more than the halo and what alignment needs.
        assert source.row == 0 or source.row > inner.row - blocks.halo - blocks.stride
        assert source.stop_row < inner.stop_row + blocks.halo + blocks.stride
        # Inner sizes are whole strides, so that only the true edge needs padding.
        assert source.stop_row == height or source.height % blocks.stride == 0
        assert source.stop_col == width or source.width % blocks.stride == 0
        rows, cols = inner.within(source)
        assert (rows.start + source.row, cols.stop + source.col) == (inner.row, inner.stop_col)


def test_ten_thousand_million_blocks_cost_nothing_until_asked() -> None:
    blocks = Blocks(image(10**7, 10**7), Window(0, 0, 10**7, 10**7), 100, 32, 8)
    assert blocks.pixels == 10**14  # not by a look at each
    assert len(blocks) == 10**10
    last = blocks[-1]
    assert last == blocks[10**10 - 1]
    assert last.window == Window(10**7 - 100, 10**7 - 100, 100, 100)
    assert last.source.stop_row == 10**7
    assert [b.index for b in blocks[5 : 10**10 : 5 * 10**9]] == [5, 5 * 10**9 + 5]
    assert sys.getsizeof(blocks) < 200


def test_wanted_blocks_keep_their_place_in_the_lattice() -> None:
    every = Blocks(image(40, 40), Window(0, 0, 40, 40), 10, 4, 2)
    some = Blocks(image(40, 40), Window(0, 0, 40, 40), 10, 4, 2, wanted=(3, 7))
    assert len(some) == 2
    assert list(some) == [every[3], every[7]]
    assert some[-1].index == 7


@pytest.mark.parametrize("place", [16, -17])
def test_a_block_beyond_the_end_is_an_index_error(place: int) -> None:
    with pytest.raises(IndexError):
        Blocks(image(40, 40), Window(0, 0, 40, 40), 10, 4, 2)[place]


windows = st.builds(Window, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9))


@given(windows, windows)
def test_an_intersection_holds_exactly_the_common_pixels(one: Window, other: Window) -> None:
    def pixels(window: Window) -> set[tuple[int, int]]:
        return {(r, c) for r in range(window.row, window.stop_row) for c in range(window.col, window.stop_col)}

    both = one.intersection(other)
    assert both == other.intersection(one)
    assert (pixels(both) if both else set()) == pixels(one) & pixels(other)


@given(plans(), st.integers(0, 100), st.integers(0, 100), st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_the_blocks_that_touch_a_window_are_those_that_share_pixels_with_it(
    blocks: Blocks, row: int, col: int, height: int, width: int
) -> None:
    window = Window(row, col, height, width)
    assert blocks.touching(window) == [b.index for b in blocks if b.window.intersection(window)]


@given(plans(), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_samples_lie_in_the_map_and_look_across_the_borders_of_blocks(blocks: Blocks, count: int, edge: int) -> None:
    samples = blocks.samples(count, edge)
    assert 1 <= len(samples) <= count
    for sample in samples:
        assert sample.intersection(blocks.output) == sample
    if len(blocks) > 1 and count > 1 and edge > 1:
        assert any(len(blocks.touching(sample)) > 1 for sample in samples)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600), st.integers(200, 2000))
def test_sheets_tile_the_output_on_the_lattice_of_regions(height: int, width: int, region: int, limit: int) -> None:
    output = Window(7, 11, height, width)
    windows = sheet_windows(output, region, limit)
    assert sum(w.height * w.width for w in windows) == height * width
    assert len({(w.row, w.col) for w in windows}) == len(windows)
    for window in windows:
        assert ((window.row - 7) % region, (window.col - 11) % region) == (0, 0)
        assert max(window.shape) <= max(limit, region)
        assert window.stop_row == output.stop_row or window.height % region == 0
    assert len(set(sheet_names(windows))) == len(windows)
    if max(height, width) <= limit // region * region:
        assert sheet_names(windows) == ["map.tif"]


def test_pickled_blocks_give_their_windows_without_loading_the_image_and_the_image_when_it_is_asked_for() -> None:
    blocks = Blocks(image(900, 700), Window(3, 5, 800, 600), 256, 32, 8, wanted=(0, 3))
    code = """if True:
        import pickle, sys
        blocks = pickle.loads(sys.stdin.buffer.read())
        print(list(blocks), "odc" in sys.modules)
        again = pickle.loads(pickle.dumps(blocks))
        print(repr(blocks.image.shape), again == blocks, again.image.crs.to_epsg())
    """
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(blocks), capture_output=True, check=True)
    windows, facts = done.stdout.decode().splitlines()
    assert windows == f"{list(blocks)} False"
    assert facts == "Shape2d(x=700, y=900) True 32633"
    assert fingerprint(pickle.loads(pickle.dumps(blocks))) == fingerprint(blocks)
