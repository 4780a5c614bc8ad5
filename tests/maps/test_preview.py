"""The picture of a map: its colours and nothing else, a readable size, a legend that tells the truth."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from swath.errors import TaskFailed
from swath.maps import preview
from swath.maps.color_ramp import RAMP
from swath.maps.legend import MapClass
from swath.maps.preview import MAX_EDGE, scale_bar, write_preview

CLASSES = (MapClass(0, "land", (200, 10, 20)), MapClass(1, "water", (30, 90, 210)))
VOID = (232, 235, 238)


def raster(path: Path, pixels: np.ndarray, nodata: float, transform: Affine, crs: str | None, **more: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", height=pixels.shape[1], width=pixels.shape[2], count=len(pixels), dtype=pixels.dtype,
            nodata=nodata, transform=transform, crs=crs, **more,
        ) as file:  # fmt: skip
            file.write(pixels)
    return path


def drawn(
    folder: Path, pixels: np.ndarray, classes: Any = CLASSES, crs: str | None = "EPSG:32618", **more: Any
) -> np.ndarray:
    """The picture as (rows, columns, 3)."""
    transform = more.pop("transform", Affine(30, 0, 400_000, 0, -30, 2_800_000))
    nodata = more.pop("nodata", 255)
    path = raster(folder / "map.tif", pixels, nodata, transform, crs)
    write_preview(folder / "p.png", path, classes, more.pop("title", "a title"), **more)
    with Image.open(folder / "p.png") as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def area(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=-1).sum())


def box(picture: np.ndarray, colors: list[tuple[int, int, int]]) -> tuple[int, int]:
    """(height, width) of the map in the picture: of the largest rows and columns of its colours."""
    found = np.any([(picture == color).all(axis=-1) for color in colors], axis=0)
    rows, columns = found.sum(axis=1), found.sum(axis=0)
    return int((rows > rows.max() / 2).sum()), int((columns > columns.max() / 2).sum())


def test_the_map_is_drawn_in_its_classes_colours_with_nodata_grey(tmp_path: Path) -> None:
    pixels = np.zeros((1, 300, 200), dtype=np.uint8)
    pixels[0, :100], pixels[0, 250:] = 1, 255
    picture = drawn(tmp_path, pixels)
    land, water, void = (area(picture, color) for color in ((200, 10, 20), (30, 90, 210), VOID))
    assert water / land == pytest.approx(100 / 150, rel=0.01)
    assert void / land == pytest.approx(50 / 150, rel=0.01)


@pytest.mark.parametrize("shape", [(2000, 2100), (5000, 300), (300, 5000), (40, 30)], ids=str)
def test_no_side_is_longer_than_the_limit_and_small_maps_are_enlarged(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = drawn(tmp_path, np.zeros((1, *shape), dtype=np.uint8), subtitle="more")
    assert max(picture.shape) <= MAX_EDGE
    assert max(picture.shape) > 500


def test_degrees_are_drawn_as_they_lie_on_the_ground(tmp_path: Path) -> None:
    pixels = np.zeros((1, 100, 100), dtype=np.uint8)
    picture = drawn(tmp_path, pixels, crs="EPSG:4326", transform=Affine(0.001, 0, 10, 0, -0.001, 60))
    height, width = box(picture, [(200, 10, 20)])
    assert height / width == pytest.approx(2, rel=0.02)  # a degree of longitude is half as wide at 60 degrees north


def test_shares_are_those_of_the_whole_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[Any] = []
    monkeypatch.setattr(preview._Sheet, "_entries", lambda _, legend, *rest: lines.extend(legend))
    drawn(tmp_path, np.zeros((1, 10, 10), dtype=np.uint8), counts={0: 99_999, 1: 1})
    assert lines == [((200, 10, 20), "land", "100.0 %"), ((30, 90, 210), "water", "< 0.1 %")]


def test_without_counts_the_picture_counts_itself_and_leaves_nodata_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[Any] = []
    monkeypatch.setattr(preview._Sheet, "_entries", lambda _, legend, *rest: lines.extend(legend))
    pixels = np.full((1, 10, 10), 255, dtype=np.uint8)
    pixels[0, 0, :4], pixels[0, 1, :1] = 0, 1
    drawn(tmp_path, pixels)
    assert [line[2] for line in lines] == ["80.0 %", "20.0 %"]


def test_a_real_colour_image_keeps_its_colours(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/imagery/bahamas_rgb.tif"
    write_preview(tmp_path / "p.png", source, (), "bahamas")
    with Image.open(tmp_path / "p.png") as image:
        picture = np.asarray(image)
    with rasterio.open(source) as file:
        color = tuple(int(each) for each in file.read()[:, 300, 400])
    assert area(picture, color) >= 1
    assert area(picture, VOID) > 10_000


def test_a_map_of_values_is_coloured_from_low_to_high(tmp_path: Path) -> None:
    values = np.tile(np.linspace(-1, 1, 200, dtype=np.float32), (100, 1))[np.newaxis].copy()
    values[0, :10] = np.nan
    picture = drawn(tmp_path, values, classes=(), nodata=float("nan"))
    for color in (RAMP[0], RAMP[-1], VOID):
        assert area(picture, color) > 100


@pytest.mark.parametrize(
    "pixels", [np.full((1, 20, 20), np.nan, dtype=np.float32), np.full((1, 20, 20), 3, dtype=np.float32)], ids=["nothing", "one value"]
)  # fmt: skip
def test_a_map_of_nothing_and_of_one_value_can_be_drawn(tmp_path: Path, pixels: np.ndarray) -> None:
    assert drawn(tmp_path, pixels, classes=(), nodata=float("nan")).size


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_the_legend_has_a_square_of_each_class(tmp_path: Path, shape: tuple[int, int]) -> None:
    absent = MapClass(2, "ice", (11, 222, 133))
    picture = drawn(tmp_path, np.zeros((1, *shape), np.uint8), (*CLASSES, absent))
    assert 300 < area(picture, absent.color) < 23 * 23


def test_shares_are_rounded_but_never_to_nothing() -> None:
    assert [preview._percent(each) for each in (0.0, 0.0004, 0.0005, 0.1234, 1.0)] == [
        "0.0 %", "< 0.1 %", "0.1 %", "12.3 %", "100.0 %",
    ]  # fmt: skip


def test_many_classes_and_long_names_fit_on_the_page(tmp_path: Path) -> None:
    classes = tuple(MapClass(n, f"class number {n} with a very long name indeed", (n * 6, 90, 10)) for n in range(40))
    for shape in ((60, 50), (50, 80)):
        pixels = (np.arange(shape[0] * shape[1]) % 40).astype(np.uint8).reshape(1, *shape)
        picture = drawn(tmp_path, pixels, classes=classes, title="a title that is much too long for its page " * 5)
        assert area(picture, classes[39].color) > 0
        assert (picture[:, -8:] == 255).all()  # nothing runs over the margin
        assert (picture[-8:] == 255).all()


def test_names_of_several_lines_are_drawn_in_one(tmp_path: Path) -> None:
    classes = (MapClass(0, "land\n\x1b[31mred", (200, 200, 10)), MapClass(1, "a\tb", (10, 20, 200)))
    pixels = (np.arange(60 * 50) % 2).astype(np.uint8).reshape(1, 60, 50)
    picture = drawn(tmp_path, pixels, classes=classes, title="first\nsecond")
    assert area(picture, classes[0].color) > 0


def test_no_crs_no_scale_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[float] = []
    monkeypatch.setattr(preview._Sheet, "_scale", lambda _, metres, *rest, **more: bars.append(metres))
    pixels = np.zeros((1, 900, 900), dtype=np.uint8)
    drawn(tmp_path, pixels, crs=None, transform=Affine.identity())
    assert bars == []
    drawn(tmp_path, pixels)
    assert bars == [pytest.approx(30, rel=0.01)]


@given(metres=st.floats(1e-4, 1e6), longest=st.integers(50, 400))
def test_a_scale_bar_is_round_and_fits(metres: float, longest: int) -> None:
    length, label = scale_bar(metres, longest)
    assert longest / 2.6 <= length <= longest
    number, unit = label.split()
    ground = float(number) * {"km": 1000, "m": 1, "cm": 0.01}[unit]
    assert ground / metres == pytest.approx(length, abs=0.51)
    assert f"{ground:.0e}"[0] in "125"


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (1, 90, 80), dtype=np.uint8)
    path = raster(tmp_path / "m.tif", pixels, 255, Affine(30, 0, 400_000, 0, -30, 2_800_000), "EPSG:32618")
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, path, CLASSES, "a title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    pixels = np.zeros((1, 9, 9), dtype=np.uint8)
    path = raster(tmp_path / "m.tif", pixels, 255, Affine(30, 0, 400_000, 0, -30, 2_800_000), "EPSG:32618")
    with pytest.raises(TaskFailed, match=r"no/p\.png could not be written"):
        write_preview(tmp_path / "no" / "p.png", path, CLASSES, "a title")


@pytest.mark.parametrize(
    "transform",
    [
        Affine(30, 0, 400_000, 0, -30, 2_800_000),  # north up
        Affine(30, 0, 400_000, 0, 30, 2_800_000),  # the first row is the southernmost, as NetCDF is often stored
        Affine(-30, 0, 400_000, 0, 30, 2_800_000),
        Affine(0, 30, 400_000, 30, 0, 2_800_000),  # rows run to the east
    ],
)
def test_north_is_at_the_top_however_the_rows_run(tmp_path: Path, transform: Affine) -> None:
    pixels = np.zeros((1, 60, 60), np.uint8)
    rows, columns = np.indices((60, 60)) + 0.5
    x = transform.a * columns + transform.b * rows
    y = transform.d * columns + transform.e * rows
    pixels[0, (x < x.min() + 600) & (y > y.max() - 300)] = 1  # water in the north-west
    picture = drawn(tmp_path, pixels, transform=transform)
    land = np.argwhere((picture[:, :900] == CLASSES[0].color).all(axis=-1))
    water = np.argwhere((picture[:, :900] == CLASSES[1].color).all(axis=-1))
    assert water[:, 0].min() == land[:, 0].min()
    assert water[:, 1].min() == land[:, 1].min()
    height, width = np.ptp(water, axis=0) + 1
    assert width == pytest.approx(2 * height, abs=2)


def test_a_grid_that_is_turned_says_where_north_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    original = preview._Sheet.__init__

    def listen(self: Any, image: Any, title: str, subtitle: str, **options: Any) -> None:
        said.append(subtitle)
        original(self, image, title, subtitle, **options)

    monkeypatch.setattr(preview._Sheet, "__init__", listen)
    turned = Affine(30, 0, 400_000, 0, -30, 2_800_000) @ Affine.rotation(20)
    drawn(tmp_path, np.zeros((1, 60, 60), np.uint8), transform=turned, subtitle="a model")
    drawn(tmp_path, np.zeros((1, 60, 60), np.uint8), subtitle="a model")
    assert said == ["a model; north is 20 degrees to the left of up", "a model"]
