"""Vector tiles: read back by a decoder of our own, so that no library marks its own work."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from swath.errors import TaskFailed
from swath.maps.legend import MapClass
from swath.maps.vectors.geoparquet import write_vectors
from swath.maps.vectors.pmtiles import _zooms, write_tiles

CLASSES = (MapClass(0, "land", (200, 180, 120)), MapClass(1, "water", (30, 90, 200)))
HALF = math.pi * 6378137


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            size = {1: 8, 5: 4}[key & 7]
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def numbers(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def rings(commands: list[int]) -> list[list[tuple[int, int]]]:
    found: list[list[tuple[int, int]]] = []
    x = y = at = 0
    while at < len(commands):
        command, count = commands[at] & 7, commands[at] >> 3
        at += 1
        for _ in range(count if command != 7 else 0):
            dx, dy = ((n >> 1) ^ -(n & 1) for n in commands[at : at + 2])
            x, y, at = x + dx, y + dy, at + 2
            if command == 1:
                found.append([])
            found[-1].append((x, y))
    return found


def entries(data: bytes) -> list[tuple[int, int, int, int]]:
    """A directory: tile, length of its run, bytes, where they begin."""
    found = numbers(gzip.decompress(data))
    count, found = found[0], found[1:]
    ids, runs, lengths, offsets = (found[n * count : (n + 1) * count] for n in range(4))
    result: list[tuple[int, int, int, int]] = []
    tile = 0
    for index in range(count):
        tile += ids[index]
        follows = offsets[index] == 0
        start = result[-1][3] + result[-1][2] if follows else offsets[index] - 1
        result.append((tile, runs[index], lengths[index], start))
    return result


def place(tile: int) -> tuple[int, int, int]:
    """(zoom, column, row) of a tile's number along the Hilbert curve."""
    zoom, before = 0, 0
    while tile >= before + 4**zoom:
        before += 4**zoom
        zoom += 1
    rest, x, y, step = tile - before, 0, 0, 1
    while step < 1 << zoom:
        right, up = 1 & rest // 2, 1 & (rest ^ (rest // 2))
        if not up:
            x, y = (step - 1 - x, step - 1 - y) if right else (x, y)
            x, y = y, x
        x, y, rest, step = x + step * right, y + step * up, rest // 4, step * 2
    return zoom, x, y


def tiles(path: Path) -> dict[tuple[int, int, int], bytes]:
    data = path.read_bytes()
    root, root_size, _, _, leaves, _, content, _ = struct.unpack_from("<8Q", data, 8)
    found = {}
    todo = entries(data[root : root + root_size])
    while todo:
        tile, run, length, start = todo.pop()
        if not run:
            todo += entries(data[leaves + start : leaves + start + length])
        for step in range(run):
            found[place(tile + step)] = gzip.decompress(data[content + start : content + start + length])
    return found


def features(tile: bytes) -> list[tuple[dict[str, Any], Any]]:
    """Attributes and polygons, in the tile's units, of its one layer."""
    (layer,) = [value for number, value in fields(tile) if number == 3]
    content = list(fields(layer))
    assert (1, b"map") in content
    keys = [value.decode() for number, value in content if number == 3]
    values = [next(fields(value)) for number, value in content if number == 4]
    found = []
    for number, feature in content:
        if number == 2:
            parts = dict(fields(feature))
            tags = numbers(parts[2])
            about = {keys[k]: values[v][1] for k, v in zip(tags[::2], tags[1::2], strict=True)}
            whole = shapely.make_valid(shapely.Polygon())
            for ring in rings(numbers(parts[4])):
                whole = whole.symmetric_difference(shapely.Polygon(ring))
            found.append((about, whole))
    return found


UTM_18 = Affine(30, 0, 400_000, 0, -30, 2_800_000)


def vectors(folder: Path, pixels: np.ndarray, crs: str | None = "EPSG:32618", transform: Affine = UTM_18) -> Path:
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", height=pixels.shape[0], width=pixels.shape[1], count=1, dtype="uint8",
        nodata=255, crs=crs, transform=transform,
    ) as file:  # fmt: skip
        file.write(pixels.astype(np.uint8), 1)
    write_vectors(folder / "map.parquet", folder / "map.tif", CLASSES)
    return folder / "map.parquet"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, columns = np.mgrid[:200, :260]
    lake = np.hypot(rows - 100, columns - 130) < 70
    lake &= np.hypot(rows - 100, columns - 150) > 20
    return vectors(tmp_path_factory.mktemp("tiles"), lake)


def test_tiles_hold_every_object_where_it_is(source: Path, tmp_path: Path) -> None:
    first, last = write_tiles(tmp_path / "map.pmtiles", source, 30, "a lake") or (0, 0)
    made = tiles(tmp_path / "map.pmtiles")
    assert {zoom for zoom, _, _ in made} == set(range(first, last + 1))
    table = geopandas.read_parquet(source).to_crs(3857)
    for name, shape in zip(table["name"], table.geometry, strict=True):
        if name == "water":
            expected = shape
    size = 2 * HALF / 2**last / 4096
    found = []
    for (zoom, column, row), tile in made.items():
        if zoom != last:
            continue
        west, north = column * 4096 * size - HALF, HALF - row * 4096 * size
        for about, shape in features(tile):
            assert set(about) == {"class", "name", "pixels", "area_m2"}
            if about["name"] == b"water":
                cut = shape.intersection(shapely.box(0, 0, 4096, 4096))
                found.append(
                    shapely.transform(
                        cut, lambda p, w=west, n=north: np.stack([w + p[:, 0] * size, n - p[:, 1] * size], 1)
                    )
                )
    water = shapely.union_all(found)
    assert water.symmetric_difference(expected).area < 0.02 * expected.area
    assert water.hausdorff_distance(expected) < 2 * size


def test_zooms_fit_the_map_and_its_pixels(source: Path, tmp_path: Path) -> None:
    first, last = write_tiles(tmp_path / "a.pmtiles", source, 4, "t") or (0, 0)
    mercator = 1 / math.cos(math.radians(25.3))
    assert 2 * HALF / 2 ** (first + 1) < 260 * 30 * mercator < 2 * HALF / 2**first
    assert 2 * HALF / 2**last / 4096 <= 4 * mercator / 2 < 2 * 2 * HALF / 2**last / 4096


def test_zooms_are_those_of_the_same_map_elsewhere_where_it_crosses_180_and_never_below_0() -> None:
    there = shapely.MultiPolygon([shapely.box(179.95, 10, 180, 10.1), shapely.box(-180, 10, -179.95, 10.1)])
    assert _zooms(there, 30) == _zooms(shapely.box(20, 10, 20.1, 10.1), 30)
    assert _zooms(shapely.box(-180, -80, 180, 80), 100_000) == (0, 0)


def test_zooms_can_be_said(source: Path, tmp_path: Path) -> None:
    assert write_tiles(tmp_path / "a.pmtiles", source, 30, "t", min_zoom=9, max_zoom=10) == (9, 10)
    assert {zoom for zoom, _, _ in tiles(tmp_path / "a.pmtiles")} == {9, 10}
    assert write_tiles(tmp_path / "b.pmtiles", source, 30, "t", max_zoom=4) == (4, 4)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.pmtiles", "b.pmtiles"]


def shapes_in_degrees(path: Path, zoom: int) -> list[tuple[bytes, Any]]:
    """(name, part of an object in longitude and latitude) of all tiles of a zoom."""
    size, found = 2 * HALF / 2**zoom / 4096, []
    for (level, column, row), tile in tiles(path).items():
        west, north = column * 4096 * size - HALF, HALF - row * 4096 * size
        for about, shape in features(tile) if level == zoom else ():
            cut = shape.intersection(shapely.box(0, 0, 4096, 4096))
            flat = shapely.transform(
                cut, lambda p, w=west, n=north: np.stack([w + p[:, 0] * size, n - p[:, 1] * size], 1)
            )
            found.append((about["name"], geopandas.GeoSeries([flat], crs=3857).to_crs(4326).iloc[0]))
    return found


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32660", Affine(300, 0, 680_000, 0, -300, 5_800_000)),
        ("EPSG:32601", Affine(300, 0, 270_000, 0, -300, 5_800_000)),
        ("EPSG:4326", Affine(0.004, 0, 179.6, 0, -0.003, 52)),
        ("EPSG:4326", Affine(0.004, 0, -180.4, 0, -0.003, 52)),
        ("EPSG:3832", Affine(400, 0, 3_300_000, 0, -400, 6_800_000)),  # Mercator around 150 east
    ],
)
def test_polygons_across_180_are_cut_there_and_make_no_band_around_the_earth(
    tmp_path: Path, crs: str, transform: Affine
) -> None:
    pixels = np.zeros((200, 200), np.uint8)
    pixels[50:150, 20:180] = 1  # a lake on both sides of the line
    pixels[5:20, 150:199] = 1  # and others on one
    pixels[5:20, 2:40] = 1
    source = vectors(tmp_path, pixels, crs, transform)
    first, last = write_tiles(tmp_path / "map.pmtiles", source, 300, "t") or (0, 0)
    assert first >= 6
    table = geopandas.read_parquet(source)
    middle = table[table["name"] == "water"].to_crs(32660).area.sum()
    for zoom in (first, last):
        shapes = shapes_in_degrees(tmp_path / "map.pmtiles", zoom)
        assert all(
            179 < abs(x) <= 180.001 for _, shape in shapes for x in np.array(shape.bounds)[[0, 2]] if not shape.is_empty
        )
        lakes = [shape for name, shape in shapes if name == b"water" and not shape.is_empty]
        assert {shape.bounds[0] > 0 for shape in lakes} == {True, False}
    whole = geopandas.GeoSeries([shapely.union_all(lakes)], crs=4326).to_crs(32660).area.sum()
    assert whole == pytest.approx(middle, rel=0.02)


def test_a_map_of_the_whole_earth_is_not_cut_at_its_edges(tmp_path: Path) -> None:
    pixels = np.zeros((90, 180), np.uint8)
    pixels[20:70, 80:100] = 1  # across longitude 0
    source = vectors(tmp_path, pixels, "EPSG:4326", Affine(2, 0, -180, 0, -2, 90))
    assert write_tiles(tmp_path / "map.pmtiles", source, 200_000, "t", max_zoom=2) == (0, 2)
    water = shapely.union_all(
        [shape for name, shape in shapes_in_degrees(tmp_path / "map.pmtiles", 2) if name == b"water"]
    )
    assert water.bounds == pytest.approx((-20, -50, 20, 50), abs=0.2)


def test_a_map_without_a_place_has_no_tiles(tmp_path: Path) -> None:
    path = vectors(tmp_path, np.eye(4), crs=None)
    with pytest.raises(TaskFailed, match="no place on a web map"):
        write_tiles(tmp_path / "map.pmtiles", path, 30, "t")


def test_a_map_without_objects_has_no_tiles(tmp_path: Path) -> None:
    assert write_tiles(tmp_path / "map.pmtiles", vectors(tmp_path, np.full((4, 4), 255)), 30, "t") is None
    assert not (tmp_path / "map.pmtiles").exists()


def test_a_folder_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=r"no/map\.pmtiles could not be written"):
        write_tiles(tmp_path / "no" / "map.pmtiles", source, 30, "t", min_zoom=9, max_zoom=9)
