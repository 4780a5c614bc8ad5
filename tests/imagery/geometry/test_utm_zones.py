"""Two UTM zones: one map in one of them without gaps, or one sheet for each in which every place is once."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pydantic import ValidationError
from pyproj import Transformer
from rasterio.vrt import WarpedVRT

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.geometry.utm_zones import owned_mask, owned_window, split_zones, utm_zone
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Band, Scene, Scenes
from swath.imagery.sources.find import find, find_sheets
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, StacImagery
from tests.imagery.rasters import write

IDS = ("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived")


def pixel_centres(image: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.indices(image.shape)
    affine = image.affine
    return affine.c + affine.a * (cols.ravel() + 0.5), affine.f + affine.e * (rows.ravel() + 0.5)


def at(image: GeoBox, crs: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that hold points of `crs`, and which of them lie in the image."""
    x, y = Transformer.from_crs(crs, str(image.crs), always_xy=True).transform(x, y)
    cols = np.floor((x - image.affine.c) / image.affine.a).astype(int)
    rows = np.floor((y - image.affine.f) / image.affine.e).astype(int)
    inside = (rows >= 0) & (cols >= 0) & (rows < image.shape[0]) & (cols < image.shape[1])
    return rows, cols, inside


@pytest.mark.parametrize("order", [IDS, IDS[::-1]])
def test_a_tile_and_its_twin_in_the_next_zone_are_one_map_without_gap(shared: Path, order: tuple[str, ...]) -> None:
    catalog = shared / "data/stac/catalog.json"
    found = find(StacImagery(catalog=str(catalog), ids=IDS, bands=("B04",)))
    tile = next(s for s in found.scenes if s.id == IDS[0])
    twin = next(s for s in found.scenes if s.id == IDS[1])
    by_id = {IDS[0]: tile, IDS[1]: twin}
    grid = GridSpec(crs=str(by_id[order[0]].bands[0].geobox.crs), resolution=100)
    scenes = find(StacImagery(catalog=str(catalog), ids=IDS, bands=("B04",)), grid=grid)
    scenes = Scenes(tuple(by_id[name] for name in order), scenes.image, scenes.bands)
    window = output_window(scenes.image, None)
    pixels, valid = read_mosaic(scenes, window)
    alone = [read_mosaic(Scenes((scene,), scenes.image, scenes.bands), window) for scene in scenes.scenes]
    # No gap: a pixel is valid when either scene has it. No double pixel: it has the first one's value, whole.
    assert (valid == (alone[0][1] | alone[1][1])).all()
    assert (pixels == np.where(alone[0][1], alone[0][0], alone[1][0])).all()
    # Seen from the ground: every pixel of the tile that has data lies in a pixel of the map that has data.
    geobox = tile.bands[0].geobox
    with rasterio.open(tile.bands[0].href) as file:
        has_data = file.read(1).ravel() != 0
    rows, cols, inside = at(scenes.image, str(geobox.crs), *pixel_centres(geobox))
    assert inside[has_data].all()
    # Along the tile's true edge a centre may fall into a pixel of the other grid whose own centre is outside.
    assert (~valid[rows[has_data], cols[has_data]]).mean() < 0.002
    inner = has_data.reshape(geobox.shape)[2:-2, 2:-2]
    around = valid[rows, cols].reshape(geobox.shape)[2:-2, 2:-2]
    full = np.ones_like(inner)
    for dr, dc in itertools.product(range(5), range(5)):
        full &= has_data.reshape(geobox.shape)[dr : dr + inner.shape[0], dc : dc + inner.shape[1]]
    assert around[full].all()
    assert full.mean() > 0.5


@pytest.fixture
def pair(shared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The Bahamas image, which lies on both sides of 78 W, as it is in zone 18, and its west once more in zone 17."""
    east = shared / "data/imagery/bahamas_rgb.tif"
    west = tmp_path / "west.tif"
    with rasterio.open(east) as source, WarpedVRT(source, crs="EPSG:32617") as warp:
        columns = warp.width * 2 // 3
        profile = {
            "driver": "GTiff",
            "crs": warp.crs,
            "transform": warp.transform,
            "count": 3,
            "dtype": "uint8",
            "nodata": 0,
        }
        with rasterio.open(west, "w", **profile, height=warp.height, width=columns) as target:
            target.write(warp.read()[:, :, :columns])
            target.colorinterp = source.colorinterp
    return east, west


@pytest.mark.parametrize("turned", [False, True])
def test_two_sheets_hold_every_place_once(pair: tuple[Path, Path], turned: bool) -> None:
    paths = pair[::-1] if turned else pair
    sheets = find_sheets(FilesImagery(paths=tuple(map(str, paths))), grid=GridSpec(zones=True))
    assert [sheet.zones for sheet in sheets] == [("17N", "18N")] * 2
    assert [utm_zone(sheet.image.crs) for sheet in sheets] == ["17N", "18N"]
    reads = [
        (s, owned_mask(s, output_window(s.image, None)), *read_mosaic(s, output_window(s.image, None))) for s in sheets
    ]
    for sheet, own, pixels, valid in reads:
        to_degrees = Transformer.from_crs(str(sheet.image.crs), "EPSG:4326", always_xy=True)
        lon, _ = to_degrees.transform(*pixel_centres(sheet.image))
        right = own.ravel() == ((lon < -78) == (sheet.image.crs == "EPSG:32617"))
        assert right[np.abs(lon + 78) > 0.004].all()
        if sheet.image.crs == "EPSG:32618":  # the line belongs to the zone in the east
            assert right.all()
        assert 0.1 < own.mean() < 0.9
        window = owned_window(sheet)
        assert window is not None
        assert own[window.roi].sum() == own.sum()
        assert own[window.roi].any(axis=0).all()
        assert own[window.roi].any(axis=1).all()
        # The zone's own file comes first, on its own pixels.
        assert sheet.scenes[0].bands[0].geobox.crs == sheet.image.crs
        assert (pixels[:, ~valid] == 0).all()
    # From the ground: each place that the image saw is in exactly one sheet, and seen there.
    with rasterio.open(pair[0]) as file:
        seen = file.dataset_mask().ravel() > 0
        grid = GeoBox(file.shape, file.transform, "EPSG:32618")
    x, y = pixel_centres(grid)
    times, valid_there = np.zeros(len(x), int), np.zeros(len(x), bool)
    for sheet, own, _, valid in reads:
        rows, cols, inside = at(sheet.image, "EPSG:32618", x, y)
        mine = np.zeros(len(x), bool)
        mine[inside] = own[rows[inside], cols[inside]]
        times += mine
        valid_there[mine] |= valid[rows[mine], cols[mine]]
    lon, _ = Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True).transform(x, y)
    beside = np.abs(lon + 78) < 0.004  # within a pixel of the line a place may be in both
    assert (times[seen & ~beside] == 1).all()
    assert (times[seen] >= 1).all()
    assert valid_there[seen & ~beside].mean() > 0.995


def test_what_only_the_neighbour_saw_is_not_lost(pair: tuple[Path, Path], tmp_path: Path) -> None:
    far = write(tmp_path / "far.tif", np.ones((3, 8, 8), np.uint8), crs="EPSG:32617", at=(500_000, 2_700_000), nodata=0)
    imagery = FilesImagery(paths=(str(pair[0]), str(far)), bands=(1, 2, 3))
    west, east = find_sheets(imagery, grid=GridSpec(zones=True, resolution=1000))
    assert [scene.id for scene in west.scenes] == ["far", "bahamas_rgb"]
    assert abs(west.image.resolution.x) == abs(east.image.resolution.x) == 1000
    _, valid = read_mosaic(west, output_window(west.image, None))
    assert (valid & owned_mask(west, output_window(west.image, None))).sum() > 1000


def test_one_zone_is_one_sheet_and_owns_all_of_it(shared: Path) -> None:
    imagery = FilesImagery(paths=(str(shared / "data/imagery/bahamas_rgb.tif"),))
    (sheet,) = find_sheets(imagery, grid=GridSpec(zones=True))
    assert sheet.image == find(imagery).image
    assert owned_mask(sheet, Window(0, 0, 5, 6)).all()
    assert owned_window(sheet) == Window(0, 0, 718, 791)


def test_the_tile_and_its_twin_lie_in_one_strip_so_one_sheet_has_it_all(shared: Path) -> None:
    imagery = StacImagery(catalog=str(shared / "data/stac/catalog.json"), ids=IDS, bands=("B04",))
    west, east = find_sheets(imagery, grid=GridSpec(zones=True))
    assert [utm_zone(sheet.image.crs) for sheet in (west, east)] == ["28N", "29N"]
    counts = []
    for one in (west, east):
        whole = output_window(one.image, None)
        counts.append(int((owned_mask(one, whole) & read_mosaic(one, whole)[1]).sum()))
    with rasterio.open(shared / f"data/stac/{IDS[0]}/B04.tif") as file:
        has_data = int((file.read(1) != 0).sum())
    assert counts[0] == 0  # all of 29RKH lies east of 12 W; what the twin has beyond is its empty corner
    assert has_data <= counts[1] < 1.002 * has_data


def test_a_zone_whose_strip_the_imagery_does_not_reach_has_no_sheet(tmp_path: Path) -> None:
    ones = np.ones((1, 8, 8), np.uint8)
    far = write(tmp_path / "far.tif", ones, crs="EPSG:32617", at=(1_000_000, 2_700_000))  # near 76 W
    home = write(tmp_path / "home.tif", ones, crs="EPSG:32618", at=(400_000, 2_700_000))
    (sheet,) = find_sheets(FilesImagery(paths=(str(far), str(home))), grid=GridSpec(zones=True))
    assert utm_zone(sheet.image.crs) == "18N"
    assert [s.id for s in sheet.scenes] == ["home", "far"]
    assert sheet.zones == ("17N", "18N")
    assert read_mosaic(sheet, output_window(sheet.image, None))[1].sum() > 100


def test_a_pipeline_of_one_map_says_so_and_zones_and_crs_exclude_each_other(
    shared: Path, pair: tuple[Path, Path]
) -> None:
    with pytest.raises(ImageryError, match="in the UTM zones 17N, 18N, and this pipeline makes one sheet"):
        find(FilesImagery(paths=tuple(map(str, pair))), grid=GridSpec(zones=True))
    with pytest.raises(ValidationError, match="either zones or crs"):
        GridSpec(zones=True, crs="EPSG:32633")
    degrees = FilesImagery(paths=(str(shared / "data/imagery/landsat_ucayali_1985.tif"),))
    with pytest.raises(ImageryError, match=r"landsat_ucayali_1985\.tif is in EPSG:4326, not in a UTM zone"):
        find_sheets(degrees, grid=GridSpec(zones=True))


def sheet(zone: int, hemisphere: str, zones: tuple[str, ...], x: float, y: float, size: float, edge: int) -> Scenes:
    """A sheet without pixels."""
    image = GeoBox(
        (edge, edge), rasterio.Affine(size, 0, x, 0, -size, y), f"EPSG:32{6 if hemisphere == 'N' else 7}{zone:02}"
    )
    return Scenes((Scene("a", (Band("b", "none", 1, image, "uint8"),)),), image, ("b",), zones=zones)


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.integers(1, 60), min_size=2, max_size=5),
    st.integers(0, 4),
    st.floats(100_000, 900_000),
    st.floats(2_100_000, 9_000_000),  # UTM ends at 80 S and 84 N
    st.booleans(),
    st.integers(0, 30),
)
def test_every_pixel_is_its_nearest_zones_and_windows_agree(
    numbers: set[int], which: int, x: float, y: float, south: bool, part: int
) -> None:
    ordered = sorted(numbers)
    mine = ordered[which % len(ordered)]
    zones = tuple(f"{n}{'S' if south else 'N'}" for n in ordered)
    one = sheet(mine, "S" if south else "N", zones, x, y, 20_000, 40)
    whole = owned_mask(one, Window(0, 0, 40, 40))
    lon, _ = Transformer.from_crs(str(one.image.crs), "EPSG:4326", always_xy=True).transform(*pixel_centres(one.image))
    away = np.array([np.abs((lon - (6 * n - 183) + 180) % 360 - 180) for n in ordered])
    nearest = np.array(ordered)[away.argmin(axis=0)]
    clear = np.sort(away, axis=0)[1] - np.sort(away, axis=0)[0] > 1e-6
    assert (whole.ravel() == (nearest == mine))[clear].all()
    assert (owned_mask(one, Window(part, part // 2, 9, 10)) == whole[part : part + 9, part // 2 : part // 2 + 10]).all()
    window = owned_window(one)
    assert (window is None) == (not whole.any())


def test_the_equator_divides_the_two_sheets_of_a_zone() -> None:
    zones = ("30N", "30S", "31N")
    north = sheet(30, "N", zones, 500_000, 20_000, 10_000, 4)
    south = sheet(30, "S", zones, 500_000, 10_020_000, 10_000, 4)
    assert owned_mask(north, Window(0, 0, 4, 4))[:, 0].tolist() == [True, True, False, False]
    assert owned_mask(south, Window(0, 0, 4, 4))[:, 0].tolist() == [False, False, True, True]


def test_zones_on_both_sides_of_the_antimeridian_are_neighbours() -> None:
    zones = ("1N", "60N")
    last = sheet(60, "N", zones, 700_000, 5_700_000, 10_000, 40)
    first = sheet(1, "N", zones, -50_000, 5_700_000, 10_000, 40)
    for one in (last, first):
        mine = owned_mask(one, Window(0, 0, 40, 40))
        lon, _ = Transformer.from_crs(str(one.image.crs), "EPSG:4326", always_xy=True).transform(
            *pixel_centres(one.image)
        )
        assert (mine.ravel() == ((lon > 0) == (one is last))).all()
        assert 0 < mine.mean() < 1


def test_split_keeps_last_in_front_of_what_is_painted_over(pair: tuple[Path, Path]) -> None:
    scenes = find(FilesImagery(paths=tuple(map(str, pair)), mosaic="last"))
    west, east = split_zones(scenes)
    assert [s.id for s in west.scenes] == ["bahamas_rgb", "west"]
    assert [s.id for s in east.scenes] == ["west", "bahamas_rgb"]


def scene_at(zone: str, lon: float, lat: float, size: float, half: int) -> Scene:
    """A scene without pixels, of 2 * `half` pixels on a side around a place, on pixels that begin anywhere."""
    crs = f"EPSG:32{6 if zone[-1] == 'N' else 7}{int(zone[:-1]):02}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    affine = rasterio.Affine(size, 0, x - half * size + 3.7, 0, -size, y + half * size + 1.3)
    return Scene(zone, (Band("b", "none", 1, GeoBox((2 * half, 2 * half), affine, crs), "uint8"),))


@pytest.mark.parametrize(
    ("zones", "lon", "lat", "sizes"),
    [
        (("60N", "1S"), 180.0, -0.5, (30.0, 30.0)),
        (("60N", "1N"), 180.0, 51.0, (60.0, 60.0)),
        (("28N", "29N"), -12.0, 27.0, (60.0, 20.0)),
        (("28N", "29N"), -12.0, 70.0, (20.0, 60.0)),
        (("30S", "30N"), -3.0, 0.0, (30.0, 30.0)),
        (("30S", "30N"), -1.5, 0.0, (60.0, 25.0)),
        (("30S", "30N", "31N", "31S"), 0.0, 0.0, (30.0, 30.0, 30.0, 30.0)),
    ],
)
def test_random_points_along_a_line_are_in_a_sheet_and_in_two_only_within_a_pixel_of_it(
    zones: tuple[str, ...], lon: float, lat: float, sizes: tuple[float, ...]
) -> None:
    listed = [scene_at(zone, lon, lat, size, round(6000 / size)) for zone, size in zip(zones, sizes, strict=True)]
    scenes = Scenes(tuple(listed), listed[0].bands[0].geobox, ("b",))
    sheets = split_zones(scenes)
    assert len(sheets) == len(zones)
    random = np.random.default_rng(3)
    metres = np.stack([random.uniform(-128, 128, 40_000), random.uniform(-3000, 3000, 40_000)])
    if zones[0][:-1] == zones[1][:-1]:  # the line is the equator
        metres = metres[::-1]
    if len(zones) == 4:
        metres = random.uniform(-300, 300, (2, 40_000))
    x = lon + metres[0] / (111_320 * np.cos(np.radians(lat)))
    y = lat + metres[1] / 110_570
    times = np.zeros(len(x), int)
    for sheet in sheets:
        rows, cols, inside = at(sheet.image, "EPSG:4326", x, y)
        window = owned_window(sheet)
        assert window is not None
        whole = owned_mask(sheet, output_window(sheet.image, None))
        assert whole[window.roi].sum() == whole.sum()
        part = Window(window.row + window.height // 3, window.col + window.width // 3, 20, 20)
        assert (owned_mask(sheet, part) == whole[part.roi]).all()
        times[inside] += whole[rows[inside], cols[inside]]
    assert (times >= 1).all()
    distance = np.abs(metres[1] if zones[0][:-1] == zones[1][:-1] else metres[0])
    if len(zones) == 4:
        distance = np.abs(metres).min(axis=0)
    assert times[distance > 1.6 * max(sizes)].max() == 1
    assert (times > 1).mean() < 0.6 * max(sizes) / 128
