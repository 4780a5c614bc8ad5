"""Polygons: whole objects, valid, with areas that add up to the map's pixels."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize, shapes

from swath.errors import TaskFailed
from swath.maps.legend import MapClass
from swath.maps.vectors.geoparquet import VectorLimits, write_vectors
from swath.spec.fields.output import Holes, Vectors

CLASSES = (
    MapClass(0, "land", (200, 180, 120)),
    MapClass(1, "water", (30, 90, 200)),
    MapClass(2, "ice", (250, 250, 255)),
)
UTM = Affine(30, 0, 400_000, 0, -30, 2_800_000)


def map_of(folder: Path, pixels: np.ndarray, transform: Affine = UTM, crs: str | None = "EPSG:32618") -> Path:
    path = folder / "map.tif"
    height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype="uint8",
            nodata=255,
            crs=crs,
            transform=transform,
        ) as file:
            file.write(pixels.astype(np.uint8), 1)
    return path


def vectors_of(folder: Path, pixels: np.ndarray, **options) -> geopandas.GeoDataFrame:  # type: ignore[no-untyped-def]
    write_vectors(folder / "map.parquet", map_of(folder, pixels, **options), CLASSES)
    return geopandas.read_parquet(folder / "map.parquet")


def check_against_pixels(table: geopandas.GeoDataFrame, pixels: np.ndarray, pixel_area: float = 900) -> None:
    assert shapely.is_valid(table.geometry.array).all()
    assert np.allclose(table.geometry.area, table["pixels"] * pixel_area)
    for value in range(3):
        assert table.loc[table["class"] == value, "pixels"].sum() == (pixels == value).sum()
    assert table["pixels"].sum() == (pixels != 255).sum()


def test_an_object_over_many_blocks_is_one_row_with_its_hole(tmp_path: Path) -> None:
    pixels = np.full((1100, 1200), 255, dtype=np.uint8)
    pixels[100:1000, 200:1100] = 1
    pixels[500:530, 500:530] = 0
    table = vectors_of(tmp_path, pixels)
    assert table[["class", "name", "pixels"]].values.tolist() == [[0, "land", 900], [1, "water", 900 * 900 - 900]]
    water = table.geometry.iloc[1]
    assert len(water.interiors) == 1
    assert water.bounds == (400_000 + 200 * 30, 2_800_000 - 1000 * 30, 400_000 + 1100 * 30, 2_800_000 - 100 * 30)


def test_strips_leave_no_trace(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).choice([0, 1, 2, 255], (1100, 90), p=[0.6, 0.2, 0.1, 0.1])
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    write_vectors(whole, map_of(tmp_path, pixels), CLASSES)
    small = VectorLimits(strip_pixels=90 * 70, read_pixels=90 * 512)
    write_vectors(cut, tmp_path / "map.tif", CLASSES, limits=small)
    assert whole.read_bytes() == cut.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 255]))
)
def test_any_map_becomes_valid_polygons_that_rasterise_back_to_it(tmp_path: Path, pixels: np.ndarray) -> None:
    table = vectors_of(tmp_path, pixels)
    check_against_pixels(table, pixels)
    transform = rasterio.Affine(*UTM[:6])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GDAL's rasteriser has nothing to burn in an empty table
        again = np.full_like(pixels, 255)
        if len(table):
            again = rasterize(
                zip(table.geometry, table["class"], strict=True), pixels.shape, 255, transform=transform, dtype="uint8"
            )
    assert (again == pixels).all()
    assert len(table) == sum(1 for _ in shapes(pixels, mask=pixels != 255, connectivity=4))


def test_pixels_that_touch_at_a_corner_are_two_objects(tmp_path: Path) -> None:
    assert len(vectors_of(tmp_path, np.array([[1, 255], [255, 1]]))) == 2


def test_a_ring_that_closes_at_a_corner_is_a_polygon_with_a_hole(tmp_path: Path) -> None:
    pixels = np.array([[1, 1, 1], [1, 255, 1], [1, 1, 255]])
    polygon = vectors_of(tmp_path, pixels).geometry.iloc[0]
    assert polygon.is_valid
    assert len(polygon.interiors) == 1
    assert polygon.exterior.is_ccw


def test_background_and_nodata_get_no_polygons(tmp_path: Path) -> None:
    path = map_of(tmp_path, np.array([[0, 0, 1, 255, 2]]))
    assert write_vectors(tmp_path / "v.parquet", path, CLASSES, Vectors(background=("land",))) == 2
    assert geopandas.read_parquet(tmp_path / "v.parquet")["name"].tolist() == ["water", "ice"]
    with pytest.raises(TaskFailed, match="no class is called sea"):
        write_vectors(tmp_path / "v.parquet", path, CLASSES, Vectors(background=("sea",)))


def test_a_real_water_map_adds_up(shared: Path, tmp_path: Path) -> None:
    with rasterio.open(shared / "data/imagery/naip_nd_20120731.tif") as file:
        _, green, _, near_infrared = file.read().astype(float)
        transform, crs = file.transform, file.crs.to_string()
    pixels = ((green - near_infrared) / np.maximum(green + near_infrared, 1) > 0.1).astype(np.uint8)
    table = vectors_of(tmp_path, pixels, transform=transform, crs=crs)
    check_against_pixels(table, pixels, 25)
    assert table.crs.to_epsg() == 26914
    area = pyproj.Geod(ellps="WGS84")
    largest = table.loc[table["pixels"].idxmax()]
    shape = geopandas.GeoSeries([largest.geometry], crs=table.crs).to_crs(4326).iloc[0]
    assert largest["area_m2"] == pytest.approx(abs(area.geometry_area_perimeter(shape)[0]), rel=1e-5)
    assert table["area_m2"].sum() == pytest.approx(table.geometry.area.sum(), rel=2e-3)


def test_the_file_is_geoparquet_1_1_and_says_its_crs_and_covering(tmp_path: Path) -> None:
    import geoparquet_validator as validator

    pixels = np.random.default_rng(3).integers(0, 3, (60, 70))
    for folder, options in (("crs", {}), ("none", {"crs": None, "transform": Affine.identity()})):
        (tmp_path / folder).mkdir()
        vectors_of(tmp_path / folder, pixels, **options)
        report = validator.check(str(tmp_path / folder / "map.parquet"))
        assert validator.failed(report) == []
        assert [each["id"] for each in report["outcomes"] if each["status"] == "pass"]


def test_metadata_by_the_specification(tmp_path: Path) -> None:
    vectors_of(tmp_path, np.array([[0, 1], [1, 1]]))
    geo = json.loads(pyarrow.parquet.read_schema(tmp_path / "map.parquet").metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert column["geometry_types"] == ["Polygon"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32618}
    assert column["bbox"] == [400_000, 2_799_940, 400_060, 2_800_000]
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_a_map_without_a_place_has_pixels_but_no_area(tmp_path: Path) -> None:
    table = vectors_of(tmp_path, np.array([[0, 1], [1, 1]]), crs=None, transform=Affine.identity())
    assert table.crs is None
    assert table["pixels"].tolist() == [1, 3]
    assert table["area_m2"].isna().all()
    assert table.geometry.area.tolist() == [1, 3]


def test_a_map_without_objects_is_an_empty_table(tmp_path: Path) -> None:
    table = vectors_of(tmp_path, np.full((4, 4), 255))
    assert len(table) == 0
    assert table.crs.to_epsg() == 32618


@pytest.mark.slow
def test_noise_with_a_hundred_thousand_objects_takes_seconds(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 3, (600, 600))
    began = time.process_time()
    table = vectors_of(tmp_path, pixels)
    assert time.process_time() - began < 20
    assert len(table) > 100_000
    check_against_pixels(table, pixels)


def options(folder: Path, pixels: np.ndarray, **wanted) -> geopandas.GeoDataFrame:  # type: ignore[no-untyped-def]
    write_vectors(folder / "o.parquet", map_of(folder, pixels), CLASSES, Vectors.model_validate(wanted))
    return geopandas.read_parquet(folder / "o.parquet")


def lake() -> np.ndarray:
    pixels = np.zeros((60, 80), dtype=np.uint8)
    pixels[10:50, 10:70] = 1
    pixels[20:30, 20:30] = 2  # ice in the lake: 100 pixels of 900 m2
    pixels[40, 40] = 255
    return pixels


def test_small_objects_are_left_out_by_their_area_on_the_ground(tmp_path: Path) -> None:
    assert options(tmp_path, lake(), min_area=89_000)["name"].tolist() == ["ice", "water", "land"]
    assert options(tmp_path, lake(), min_area=91_000)["name"].tolist() == ["water", "land"]


def test_holes_are_kept_filled_or_filled_below_an_area(tmp_path: Path) -> None:
    def water(**wanted) -> tuple[int, float]:  # type: ignore[no-untyped-def]
        table = options(tmp_path, lake(), background=["land"], **wanted)
        (row,) = table.loc[table["name"] == "water"].itertuples()
        assert row.pixels == 60 * 40 - 101  # of the map, whatever becomes of the shape
        return len(row.geometry.interiors), row.geometry.area / 900

    assert water() == (2, 60 * 40 - 101)
    assert water(holes={"min_area": 1000}) == (1, 60 * 40 - 100)
    assert water(holes="fill") == (0, 60 * 40)
    assert water(holes="fill", simplify="1px")[0] == 0


def test_simplified_neighbours_share_their_borders(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:300, :300]
    pixels = ((np.hypot(rows - 150, columns - 120) < 100).astype(np.uint8) + (columns > 180)).astype(np.uint8)
    exact, metres, in_pixels = (options(tmp_path, pixels, **w) for w in ({}, {"simplify": 60}, {"simplify": "2px"}))
    points, fewer, few = (shapely.get_num_coordinates(each.geometry.array).sum() for each in (exact, metres, in_pixels))
    assert fewer < 0.4 * points
    assert few == pytest.approx(fewer, rel=0.1)  # 60 m are 2 pixels, but for the projection's scale
    assert shapely.coverage_is_valid(metres.geometry.array)
    assert metres.geometry.area.sum() == pytest.approx(300 * 300 * 900)
    assert (metres["area_m2"] == exact["area_m2"]).all()


def test_metres_need_a_place(tmp_path: Path) -> None:
    path = map_of(tmp_path, lake(), Affine.identity(), None)
    for wanted in (Vectors(min_area=3.0), Vectors(simplify=3.0), Vectors(holes=Holes(min_area=3.0))):
        with pytest.raises(TaskFailed, match="nothing in it has a size in metres"):
            write_vectors(tmp_path / "v.parquet", path, CLASSES, wanted)
    assert write_vectors(tmp_path / "v.parquet", path, CLASSES, Vectors(simplify="1px", holes="fill")) == 3


def test_rows_are_in_groups_and_in_the_order_of_their_last_row(tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 3, (80, 80))
    write_vectors(tmp_path / "map.parquet", map_of(tmp_path, pixels), CLASSES, limits=VectorLimits(group_rows=500))
    table = geopandas.read_parquet(tmp_path / "map.parquet")
    file = pyarrow.parquet.ParquetFile(tmp_path / "map.parquet")
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert set(groups[:-1]) == {500}
    columns = {(each := file.metadata.row_group(0).column(n)).path_in_schema: each for n in range(9)}
    assert columns["bbox.xmin"].statistics.has_min_max  # by which a reader skips groups
    assert columns["geometry"].statistics is None
    assert sum(groups) == len(table)
    assert (np.diff(table.bounds["miny"]) <= 0).all()
    check_against_pixels(table, pixels)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = map_of(tmp_path, np.array([[0, 1]]))
    with pytest.raises(TaskFailed, match=r"no/map\.parquet could not be written"):
        write_vectors(tmp_path / "no" / "map.parquet", path, CLASSES)
