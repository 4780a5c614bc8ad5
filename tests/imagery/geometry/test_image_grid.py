"""The image grid: pixel-exact, whole, and found again from an area."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from swath.errors import AreaError, ImageryError
from swath.geo import Blocks, Window
from swath.imagery.geometry.footprint import area_pixels, extent_pixels
from swath.imagery.geometry.image_grid import area_mask, image_grid, output_window, pixel_offset, select_blocks
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Band, Scene
from swath.imagery.sources.find import find
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, StacImagery

RAT_ISLANDS = (
    "MULTIPOLYGON (((179.3 51.3, 180 51.3, 180 52.2, 179.3 52.2, 179.3 51.3)),"
    " ((-180 51.3, -179.2 51.3, -179.2 52.2, -180 52.2, -180 51.3)))"
)


def grid_of(height: int, width: int, affine: Affine, crs: str | None) -> GeoBox:
    return GeoBox((height, width), affine, crs)


def scene_on(*grids: GeoBox) -> Scene:
    return Scene("s", tuple(Band(f"b{i}", "/none.tif", 1, grid, "uint8") for i, grid in enumerate(grids)))


def aleutians(shared: Path) -> GeoBox:
    return find(FilesImagery(paths=(str(shared / "data/labels/aleutians_qa_pixel.tif"),))).image


def test_the_landsat_pair_shares_one_grid_in_either_order(shared: Path) -> None:
    paths = [str(shared / f"data/imagery/landsat8_{name}_20200518.tif") for name in ("224077", "224078")]
    one = find(FilesImagery(paths=tuple(paths)))
    other = find(FilesImagery(paths=tuple(paths[::-1])))
    assert one.image == other.image
    # 724 km to 738 km east, 516 columns and 566 rows apart, 1024 each.
    assert one.image.shape == (566 + 1024, 516 + 1024)
    offsets = [pixel_offset(scene.bands[0].geobox, one.image) for scene in one.scenes]
    assert offsets == [(0, 0), (566, 516)]


def test_one_file_keeps_its_own_numbers_to_the_last_bit(shared: Path) -> None:
    path = shared / "data/imagery/landsat_ucayali_2020.tif"
    with rasterio.open(path) as file:
        assert find(FilesImagery(paths=(str(path),))).image.affine == file.transform


def test_the_finest_band_gives_the_grid(shared: Path) -> None:
    found = find(
        StacImagery(
            catalog=str(shared / "data/stac/catalog.json"), ids=("S2A_29RKH_20200219_0_L2A",), bands=("swir16", "red")
        )
    )
    assert found.image.affine == Affine(100, 0, 199980, 0, -100, 2800020)
    assert found.image.shape == (1098, 1098)


def test_the_twin_in_the_next_zone_extends_the_grid_by_whole_pixels(shared: Path) -> None:
    ids = ("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived")
    found = find(StacImagery(catalog=str(shared / "data/stac/catalog.json"), ids=ids, bands=("red",)))
    first = found.scenes[0].bands[0].geobox
    assert str(found.image.crs) == "EPSG:32629"
    offset = pixel_offset(first, found.image)
    assert offset is not None
    assert min(offset) > 0
    for scene in found.scenes:
        geobox = scene.bands[0].geobox
        corners = [geobox.affine @ (col, row) for col in (0, geobox.shape[1]) for row in (0, geobox.shape[0])]
        xs, ys = rasterio.warp.transform(str(geobox.crs), "EPSG:32629", *zip(*corners, strict=True))
        cols, rows = zip(*(~found.image.affine @ point for point in zip(xs, ys, strict=True)), strict=True)
        assert min(cols) >= -0.01
        assert min(rows) >= -0.01
        assert max(cols) <= found.image.shape[1] + 0.01
        assert max(rows) <= found.image.shape[0] + 0.01


def test_an_asked_grid_lies_on_multiples_of_its_resolution(shared: Path) -> None:
    scenes = [scene_on(grid_of(50, 60, Affine(10, 0, 500_013, 0, -10, 5_000_007), "EPSG:32633"))]
    image = image_grid(scenes, GridSpec(resolution=30.0))
    assert (image.affine.a, image.affine.e) == (30, -30)
    assert image.affine.c % 30 == 0
    assert image.affine.f % 30 == 0
    assert image.affine.c <= 500_013 < image.affine.c + 30
    moved = image_grid(scenes, GridSpec(crs="EPSG:3035"))
    assert str(moved.crs) == "EPSG:3035"
    assert 9 < moved.affine.a < 11
    assert 50 <= moved.shape[0] <= 70
    with pytest.raises(ImageryError, match=r"grid.crs: 'EPSG:0' is not"):
        image_grid(scenes, GridSpec(crs="EPSG:0"))


def test_a_scene_over_the_antimeridian_does_not_become_a_map_of_the_world(shared: Path) -> None:
    paths = (str(shared / "data/labels/aleutians_qa_pixel.tif"),)
    with pytest.raises(
        ImageryError, match=r"aleutians_qa_pixel\.tif: crosses the antimeridian, where EPSG:4326 is not continuous"
    ):
        find(FilesImagery(paths=paths), grid=GridSpec(crs="EPSG:4326"))


def test_an_image_without_a_place_is_named_by_its_file_and_by_its_scene_where_the_path_does_not_say_it() -> None:
    good = Scene(
        "good", (Band("red", "/images/good.tif", 1, grid_of(9, 9, Affine(1, 0, 0, 0, -1, 9), "EPSG:4326"), "uint8"),)
    )
    nowhere = grid_of(10, 10, Affine(10, 0, 1e12, 0, -10, 1e12), "EPSG:32633")
    band = Band("red", "/images/B04.tif", 1, nowhere, "uint8")
    for scene, name in (("S2A", "/images/B04.tif (scene S2A)"), ("B04", "/images/B04.tif")):
        with pytest.raises(ImageryError) as caught:
            image_grid([good, Scene(scene, (band,))])
        assert caught.value.message.startswith(f"{name}: cannot be placed on a grid in EPSG:4326")


def test_a_grid_whose_sides_are_too_different_to_be_measured_is_named_by_its_file() -> None:
    grid = grid_of(64, 64, Affine(-1e63, 0, 5e5, 0, -1e187, 5e6), "EPSG:32633")
    scene = Scene("scene", (Band("red", "/images/scene.tif", 1, grid, "uint8"),))
    with pytest.raises(ImageryError, match=r"^/images/scene\.tif: cannot be placed on a grid in EPSG:32633"):
        image_grid([scene])


def test_half_a_pixel_apart_is_not_the_same_grid() -> None:
    image = grid_of(10, 10, Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    assert pixel_offset(grid_of(5, 5, Affine(10, 0, 20, 0, -10, -30), "EPSG:32633"), image) == (3, 2)
    assert pixel_offset(grid_of(5, 5, Affine(10, 0, 25, 0, -10, -30), "EPSG:32633"), image) is None
    assert pixel_offset(grid_of(5, 5, Affine(20, 0, 20, 0, -20, -30), "EPSG:32633"), image) is None
    assert pixel_offset(grid_of(5, 5, Affine(10, 0, 20, 0, -10, -30), "EPSG:32634"), image) is None


def test_an_area_snapped_to_pixels_is_exactly_those_pixels() -> None:
    image = grid_of(100, 100, Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    area = Area(wkt=box(500_200, 4_999_500, 500_400, 4_999_900).wkt, crs="EPSG:32633")
    assert output_window(image, area) == Window(10, 20, 40, 20)
    assert area_mask(area, image, Window(9, 19, 42, 22)).sum() == 40 * 20
    partly = Area(wkt=box(500_205, 4_999_000, 500_396, 4_999_899).wkt, crs="EPSG:32633")
    assert output_window(image, partly) == Window(10, 20, 90, 20)
    assert output_window(image, None) == Window(0, 0, 100, 100)


def test_an_area_over_the_antimeridian_is_one_window_in_its_zone(shared: Path) -> None:
    image = aleutians(shared)
    area = Area(wkt=RAT_ISLANDS)
    window = output_window(image, area)
    # 1.5 degrees at 51.3 to 52.2 north are some 104 km by 103 km.
    assert 1000 < window.height < 1100
    assert 1020 < window.width < 1100
    mask = area_mask(area, image, window)
    assert mask[:, mask.shape[1] // 2].sum() > 0.9 * window.height  # no gap at 180 degrees
    assert (np.diff(mask[window.height // 2].astype(int)) != 0).sum() <= 2
    # By pyproj, pixel by pixel.
    from pyproj import Transformer

    rows, cols = np.mgrid[0 : window.height : 7, 0 : window.width : 7]
    a = image.affine
    x = a.c + a.a * (window.col + cols + 0.5)
    y = a.f + a.e * (window.row + rows + 0.5)
    lon, lat = Transformer.from_crs("EPSG:32660", "EPSG:4326", always_xy=True).transform(x, y)
    inside = ((lon > 179.3) | (lon < -179.2)) & (lat > 51.3) & (lat < 52.2)
    assert (mask[::7, ::7] == inside).mean() > 0.9999


def test_masks_of_tiles_are_the_mask_of_the_whole(shared: Path) -> None:
    image = aleutians(shared)
    area = Area(wkt=RAT_ISLANDS)
    whole = area_mask(area, image)
    assert whole.shape == image.shape
    tiled = np.zeros_like(whole)
    for block in Blocks(image, output_window(image, None), 301, 0, 1):
        tiled[block.window.roi] = area_mask(area, image, block.window)
    assert (tiled == whole).all()


def test_the_window_is_the_bounds_of_the_mask(shared: Path) -> None:
    image = aleutians(shared)
    area = Area(wkt=RAT_ISLANDS)
    window = output_window(image, area)
    rows, cols = np.nonzero(area_mask(area, image))
    assert 0 <= rows.min() - window.row <= 1
    assert 0 <= cols.min() - window.col <= 1
    assert 0 <= window.stop_row - 1 - rows.max() <= 1
    assert 0 <= window.stop_col - 1 - cols.max() <= 1


def test_an_image_counted_beyond_180_meets_the_split_area() -> None:
    image = grid_of(300, 400, Affine(0.01, 0, 178, 0, -0.01, 53), "EPSG:4326")
    window = output_window(image, Area(wkt=RAT_ISLANDS))
    assert window == Window(80, 130, 90, 150)


def test_an_area_elsewhere_names_both_extents(shared: Path) -> None:
    image = aleutians(shared)
    away = Area(wkt=box(10, 45, 11, 46).wkt, source="alps.geojson")
    with pytest.raises(AreaError) as missed:
        output_window(image, away)
    assert "alps.geojson" in str(missed.value)
    assert "[10.0000, 45.0000, 11.0000, 46.0000]" in str(missed.value)
    assert "[178.0" in str(missed.value) or "[177." in str(missed.value)
    assert ", -17" in str(missed.value)
    assert select_blocks(Blocks(image, Window(0, 0, 500, 500), 100, 0, 1), away).wanted == ()


def test_the_whole_world_is_cut_to_the_image(shared: Path) -> None:
    image = find(FilesImagery(paths=(str(shared / "data/imagery/bahamas_rgb.tif"),))).image
    world = Area(wkt=box(-180, -90, 180, 90).wkt)
    assert output_window(image, world) == Window(0, 0, *image.shape)
    assert area_mask(world, image).all()


def test_a_grid_without_crs_has_no_areas() -> None:
    image = grid_of(10, 10, Affine(1, 0, 0, 0, 1, 0), None)
    with pytest.raises(ImageryError, match="no coordinate reference system"):
        output_window(image, Area(wkt=box(0, 0, 5, 5).wkt))


def test_wanted_blocks_are_those_that_hold_a_pixel_of_the_area(shared: Path) -> None:
    image = aleutians(shared)
    area = Area(wkt="POLYGON ((179.4 51.4, 180 52.1, 180 51.4, 179.4 51.4))")
    blocks = Blocks(image, output_window(image, area), 64, 8, 4)
    wanted = select_blocks(blocks, area)
    mask = area_mask(area, image)
    needed = {block.index for block in blocks if mask[block.window.roi].any()}
    assert wanted.wanted is not None
    assert needed <= set(wanted.wanted)
    assert len(wanted) < 0.7 * len(blocks)
    # What is too much touches the area without holding a pixel's centre.
    pixels = area_pixels(area, image)
    for block in wanted:
        w = block.window
        assert pixels.intersects(box(w.col, w.row, w.stop_col, w.stop_row))
    assert select_blocks(blocks, None) is blocks


def test_a_hundred_thousand_blocks_are_sorted_out_quickly() -> None:
    image = grid_of(40_000, 40_000, Affine(10, 0, 400_000, 0, -10, 5_400_000), "EPSG:32633")
    circle = shapely.Point(600_000, 5_200_000).buffer(150_000, quad_segs=500)
    blocks = Blocks(image, Window(0, 0, 40_000, 40_000), 120, 0, 1)
    assert len(blocks) > 100_000
    start = time.perf_counter()
    wanted = select_blocks(blocks, Area(wkt=circle.wkt, crs="EPSG:32633"))
    assert time.perf_counter() - start < 3
    assert len(wanted) / len(blocks) == pytest.approx(circle.area / 400_000**2, rel=0.02)


@pytest.mark.parametrize("grid", [None, GridSpec(crs="EPSG:32601", resolution=200)])
def test_three_spellings_of_an_area_over_the_antimeridian_give_the_same_pixels(
    shared: Path, grid: GridSpec | None
) -> None:
    imagery = FilesImagery(paths=(str(shared / "data/labels/aleutians_qa_pixel.tif"),))
    found = []
    for spelling in ("split", "unsplit", "wrapped"):
        path = str(shared / f"data/aoi/rat_islands_antimeridian_{spelling}.geojson")
        area = Area.model_validate(path)
        scenes = find(imagery, None, area, grid)
        window = output_window(scenes.image, area)
        pixels, valid = read_mosaic(scenes, window)
        found.append((scenes.image, window, pixels, valid & area_mask(area, scenes.image, window)))
    for image, window, pixels, valid in found[1:]:
        assert (image, window) == found[0][:2]
        assert (pixels == found[0][2]).all()
        assert (valid == found[0][3]).all()
    middle = found[0][3]
    assert middle.mean() > 0.5
    assert middle[middle.shape[0] // 2].mean() > 0.8  # both sides of 180 degrees, and what is between


def test_the_extent_of_a_grid_of_one_column_takes_no_longer_than_that_of_others() -> None:
    tall = GeoBox((2**20, 1), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    start = time.monotonic()
    assert extent_pixels(tall, tall) == (0, 0, 1, 2**20)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("grid", "message", "remedy"),
    [
        (
            GridSpec(crs="EPSG:4326", resolution=30),
            "grid.resolution: a pixel of 30 in EPSG:4326 is larger than all of the imagery, which is",
            "Give it in degrees: the imagery's own pixels are 0.000",
        ),
        (
            GridSpec(resolution=2000),
            "grid.resolution: a pixel of 2000 in EPSG:32633 is larger than all of the imagery, which is 1000 wide and 640 high",
            "Give it in the unit of the CRS, mostly metres: the imagery's own pixels are 10 in EPSG:32633.",
        ),
        (
            GridSpec(resolution=0.0003),
            "grid.resolution: a pixel of 0.0003 in EPSG:32633 is 33,333 times finer than the imagery's",
            "the imagery's own pixels are 10 in EPSG:32633.",
        ),
    ],
)
def test_a_resolution_in_the_wrong_unit_is_refused(grid: GridSpec, message: str, remedy: str) -> None:
    scene = scene_on(grid_of(64, 100, Affine(10, 0, 500_000, 0, -10, 5_200_000), "EPSG:32633"))
    with pytest.raises(ImageryError) as caught:
        image_grid([scene], grid)
    assert message in str(caught.value)
    assert remedy in str(caught.value)
    assert image_grid([scene], GridSpec(resolution=640)).shape == (1, 2)


ACROSS_180 = {
    "beyond 180": {
        "type": "Polygon",
        "coordinates": [[[179.8, 51], [180.3, 51], [180.3, 51.4], [179.8, 51.4], [179.8, 51]]],
    },
    "beyond -180": {
        "type": "Polygon",
        "coordinates": [[[-180.2, 51], [-179.7, 51], [-179.7, 51.4], [-180.2, 51.4], [-180.2, 51]]],
    },
    "wrapped": {
        "type": "Polygon",
        "coordinates": [[[179.8, 51], [-179.7, 51], [-179.7, 51.4], [179.8, 51.4], [179.8, 51]]],
    },
    "split": {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179.8, 51], [180, 51], [180, 51.4], [179.8, 51.4], [179.8, 51]]],
            [[[-180, 51], [-179.7, 51], [-179.7, 51.4], [-180, 51.4], [-180, 51]]],
        ],
    },
    "a box": [179.8, 51, -179.7, 51.4],
    "a box beyond 180": [179.8, 51, 180.3, 51.4],
}


@pytest.mark.parametrize("spelling", ACROSS_180)
@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:4326", Affine(0.01, 0, 179.5, 0, -0.01, 52)),
        ("EPSG:4326", Affine(0.01, 0, -180.5, 0, -0.01, 52)),
        ("EPSG:32660", Affine(1000, 0, 660_000, 0, -1000, 5_750_000)),
        ("EPSG:32601", Affine(1000, 0, 260_000, 0, -1000, 5_750_000)),
        ("EPSG:3832", Affine(1000, 0, 3_280_000, 0, -1000, 6_750_000)),
    ],
)
def test_an_area_across_180_is_the_same_in_every_spelling(spelling: str, crs: str, affine: Affine) -> None:
    image = grid_of(150, 150, affine, crs)
    expected = area_mask(
        Area.model_validate({"wkt": "POLYGON ((179.8 51, 180.3 51, 180.3 51.4, 179.8 51.4, 179.8 51))"}), image
    )
    found = area_mask(Area.model_validate(ACROSS_180[spelling]), image)
    assert (found != expected).sum() <= 2  # centres on an edge to the last digit
    _, cols = np.nonzero(found)
    columns = np.unique(cols)
    assert (np.diff(columns) == 1).all()  # one piece, without a gap at the line
    assert found.sum() > 1000
    assert output_window(image, Area.model_validate(ACROSS_180[spelling])).width == pytest.approx(len(columns), abs=2)
