"""Assembly: parts that are missing, do not belong, or stand in a wrong place."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import TaskFailed
from swath.geo import Window
from swath.maps.cog.cog import write_cog
from swath.maps.cog.encoding import Encoding
from tests.maps.cog.maps import CLASSES, blocks_of, classes_of, grid, noise, parts_of, read


def test_missing_and_unwanted_blocks_are_nodata_and_the_missing_are_named(tmp_path: Path) -> None:
    blocks = blocks_of(grid(320, 320), 128, wanted=(0, 4, 8))
    image = noise(320, 320)
    parts = [part for part in parts_of(blocks, image, classes_of()) if part.index != 4]
    facts = write_cog(tmp_path / "m.tif", parts, blocks, classes_of(), classes=CLASSES)
    expected = np.full_like(image, 255)
    expected[0, :128, :128] = image[0, :128, :128]
    expected[0, 256:, 256:] = image[0, 256:, 256:]
    assert (read(tmp_path / "m.tif") == expected).all()
    assert (facts.blocks, facts.missing, facts.valid) == (2, (4,), 128 * 128 + 64 * 64)
    assert facts.counts == {0: int((expected == 0).sum()), 1: int((expected == 1).sum())}


def test_a_map_of_nothing_but_nodata_is_still_a_valid_file(tmp_path: Path) -> None:
    blocks = blocks_of(grid(600, 600), 640)
    facts = write_cog(tmp_path / "m.tif", [], blocks, classes_of(), classes=CLASSES)
    assert (read(tmp_path / "m.tif") == 255).all()
    assert (facts.valid, facts.statistics) == (0, ({"valid_percent": 0.0},))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 200), width=st.integers(1, 200), size=st.integers(1, 5), given_share=st.floats(0, 1), seed=st.integers(0, 99)
)  # fmt: skip
def test_any_regions_that_are_there_make_the_same_pixels(
    tmp_path: Path, height: int, width: int, size: int, given_share: float, seed: int
) -> None:
    encoding = classes_of(16)
    blocks, image, chance = blocks_of(grid(height, width), 16 * size), noise(height, width), random.Random(seed)
    parts = [part for part in parts_of(blocks, image, encoding) if chance.random() < given_share]
    expected = np.full_like(image, 255)
    for part in parts:
        expected[:, *part.window.roi] = image[:, *part.window.roi]
        inner = Window(part.window.row, part.window.col, *(-(-length // 2) for length in part.window.shape))
        assert np.array_equal(part.read(inner), image[:, *inner.roi])
    facts = write_cog(tmp_path / "m.tif", parts, blocks, encoding, classes=CLASSES)
    assert (read(tmp_path / "m.tif") == expected).all()
    assert facts.valid == sum(facts.counts.values()) == int((expected != 255).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: [replace(parts[0], index=1), *parts[1:]], "the map has no such region"),
        (lambda parts: [replace(parts[0], encoding=Encoding("int16", 255)), *parts[1:]], "is encoded as"),
        (lambda parts: [replace(parts[0], counts=((7, 1),)), *parts[1:]], "holds the value 7"),
        (lambda parts: [parts[0], *parts], "given twice"),
        (lambda parts: parts[::-1], "came after region"),
    ],
)
def test_a_part_that_does_not_belong_is_refused_and_leaves_nothing(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    blocks, image = blocks_of(grid(128, 128), 64), noise(128, 128)
    with pytest.raises(TaskFailed, match=message):
        write_cog(
            tmp_path / "m.tif", change(parts_of(blocks, image, classes_of())), blocks, classes_of(), classes=CLASSES
        )
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


def test_tiles_in_a_wrong_place_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own: GDAL decodes other pixels than were given."""
    import swath.maps.cog.assembly as assembly

    blocks, whole = blocks_of(grid(128, 128), 64), assembly.Assembly._full_tiles
    monkeypatch.setattr(assembly.Assembly, "_full_tiles", lambda self: reversed(list(whole(self))))
    image = np.zeros((1, 128, 128), np.uint8)
    image[:, :64, :64] = noise(64, 64)
    with pytest.raises(TaskFailed, match=r"does not read back as it was given|not a valid COG"):
        write_cog(tmp_path / "m.tif", parts_of(blocks, image, classes_of()), blocks, classes_of(), classes=CLASSES)
