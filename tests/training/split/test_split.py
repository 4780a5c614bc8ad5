"""A place is in one split whatever image shows it, and training keeps its distance from what is held back."""

import json

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer
from shapely import STRtree, points

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.lonlat import pixel_lonlat
from swath.imagery.scene import Band, Scene, Scenes
from swath.spec.fields.area import Area
from swath.spec.fields.split import AreaSplit, BlockSplit, ColumnSplit, SceneSplit, SplitSpec
from swath.training.split.split import BUFFER, TEST, TRAIN, VALIDATION, Split, make_split

NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)
GRIDS = {
    "UTM": GeoBox((220, 200), Affine(20, 0, 500_000, 0, -20, 5_000_000), "EPSG:32633"),
    "rotated": GeoBox((200, 220), Affine(20, 0, 500_000, 0, -20, 5_000_000) @ Affine.rotation(33), "EPSG:32633"),
    "degrees": GeoBox((200, 200), Affine(0.0003, 0, 14.99, 0, -0.0002, 45.16), "EPSG:4326"),
    "Web Mercator in the north": GeoBox((200, 200), Affine(60, 0, 2_000_000, 0, -60, 9_000_000), "EPSG:3857"),
    "antimeridian": GeoBox((200, 200), Affine(0.0004, 0, 179.96, 0, -0.0002, 52), "EPSG:4326"),
    "coarse": GeoBox((200, 200), Affine(600, 0, 300_000, 0, -600, 7_000_000), "EPSG:32720"),
}
WGS84 = Geod(ellps="WGS84")


def _apply(affine: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def whole(image: GeoBox) -> Window:
    return Window(0, 0, *image.shape)


def least_distance_m(image: GeoBox, splits: np.ndarray, reach_m: float) -> float:
    """Between pixels of training and pixels that are held back, by geodesics; only the pairs of about `reach_m` are looked at."""
    longitude, latitude = pixel_lonlat(image, whole(image))
    at = np.stack([longitude, latitude], axis=-1)
    flat = points((longitude % 360) * np.cos(np.radians(latitude.mean())), latitude)
    train, held = splits == TRAIN, (splits == VALIDATION) | (splits == TEST)
    assert train.any()
    assert held.any()
    (ours, theirs), far = STRtree(flat[held]).query_nearest(flat[train], all_matches=False, return_distance=True)
    near = np.argsort(far)[:2000]
    first, second = at[train][ours[near]], at[held][theirs[near]]
    _, _, metres = WGS84.inv(first[:, 0], first[:, 1], second[:, 0], second[:, 1])
    assert metres[0] < 3 * reach_m, "nothing is near enough to tell"
    return float(metres.min())


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("seed", [1, 5])
def test_blocks_keep_training_the_buffer_away(name: str, seed: int) -> None:
    image = GRIDS[name]
    size = 30_000 if name == "coarse" else 700
    spec = BlockSplit(size_m=size, buffer_m=size / 5, validation=0.2, test=0.1)
    splits = Split(spec, seed).of(image, whole(image))
    assert least_distance_m(image, splits, size / 5) >= size / 5


@pytest.mark.parametrize("name", GRIDS)
def test_areas_keep_training_the_buffer_away(name: str) -> None:
    image = GRIDS[name]
    longitude, latitude = pixel_lonlat(image, whole(image))
    west, south = longitude[110, 60], latitude[110, 60]
    east, north = longitude[70, 120], latitude[70, 120]
    east, north = east + 360 if east < west - 180 else east, max(north, south + 1e-3)
    buffer = 20_000 if name == "coarse" else 300
    area = Area.model_validate({"bbox": [min(west, east), min(south, north), max(west, east), max(south, north)]})
    split = make_split(AreaSplit(validation=area, buffer_m=buffer), 0, [])
    splits = split.of(image, whole(image))
    assert least_distance_m(image, splits, buffer) >= buffer


@pytest.mark.parametrize("spec", [BlockSplit(size_m=500, buffer_m=60), BlockSplit(size_m=900, buffer_m=0, test=0.2)])
def test_a_place_is_in_one_split_in_images_of_other_zones_sizes_and_rotations(spec: BlockSplit) -> None:
    first = GeoBox((300, 300), Affine(10, 0, 746_000, 0, -10, 5_000_000), "EPSG:32632")
    longitude, latitude = pixel_lonlat(first, whole(first))
    there = Split(spec, 7).of(first, whole(first))
    for crs, step, turned in (("EPSG:32633", 10, 0), ("EPSG:32633", 10, 20), ("EPSG:4326", 0.0001, 0)):
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
        corner = Affine(step, 0, x[90, 90], 0, -step, y[90, 90])
        second = GeoBox((400, 400), corner @ Affine.rotation(turned), crs)
        col, row = _apply(~second.affine, x, y)
        inside = (row >= 0) & (col >= 0) & (row < second.shape[0]) & (col < second.shape[1])
        assert inside.sum() > 10_000
        other = Split(spec, 7).of(second, whole(second))[row[inside].astype(int), col[inside].astype(int)]
        ours = there[inside]
        if spec.buffer_m:  # centres of pixels differ by a pixel, the buffer is wider than that
            held = (VALIDATION, TEST)
            assert not ((ours == TRAIN) & np.isin(other, held)).any()
            assert not ((other == TRAIN) & np.isin(ours, held)).any()
        assert (ours == other).mean() > 0.95


def test_windows_of_one_image_fit_together() -> None:
    for image in GRIDS.values():
        split = Split(BlockSplit(size_m=700, buffer_m=70), 3)
        part = Window(37, 51, 64, 90)
        assert (split.of(image, whole(image))[part.roi] == split.of(image, part)).all()


def scene(name: str, image: GeoBox, time: str | None = None) -> Scenes:
    return Scenes((Scene(name, (Band("red", f"/{name}.tif", 1, image, "uint8"),), time),), image, ("red",))


def shifted(columns: int) -> GeoBox:
    return GeoBox((100, 100), NORTH_UP @ Affine.translation(columns, 0), "EPSG:32633")


def test_scenes_that_show_the_same_ground_are_not_put_into_two_splits() -> None:
    images = [scene("a", shifted(0)), scene("b", shifted(60))]
    with pytest.raises(ImageryError, match=r"a \(train\) and b \(validation\) show the same place.*\n.*overlap"):
        make_split(SceneSplit(validation=("b",)), 0, images)
    make_split(SceneSplit(validation=("b",)), 0, [images[0], scene("b", shifted(100))])  # neighbours only touch


def test_ground_that_scenes_of_two_splits_show_can_be_left_out() -> None:
    images = [scene("a", shifted(0)), scene("b", shifted(60)), scene("c", shifted(90))]
    split = make_split(SceneSplit(validation=("b",), test=("c",), overlap="buffer", buffer_m=50), 0, images)
    first = split.of_scenes(images[0], whole(images[0].image))
    assert (first[:, :55] == TRAIN).all()
    assert (first[:, 56:] == BUFFER).all()
    second = split.of_scenes(images[1], whole(images[1].image))
    assert (second[:, :25] == VALIDATION).all()
    assert (second[:, 30:] == BUFFER).all()
    assert (split.of_scenes(images[2], whole(images[2].image)) == TEST).all()


def test_scenes_are_named_by_id_pattern_or_time() -> None:
    images = [scene(f"s{n}", shifted(200 * n), f"20{n}4-07-20T10:00:00Z") for n in (0, 1, 2)]
    for named in ("s2", "*2", "2024", "2024-06/2024-08", "2020/.."):
        split = make_split(SceneSplit(validation=(named,)), 0, images)
        found = [int(split.of_scenes(each, Window(0, 0, 1, 1))[0, 0]) for each in images]
        assert found == [TRAIN, TRAIN, VALIDATION], named
    named = [scene("20149", shifted(0), "2014-07-20T10:00:00Z"), scene("20140", shifted(200), "2015-07-20T10:00:00Z")]
    split = make_split(SceneSplit(validation=("20149",)), 0, named)
    assert [int(split.of_scenes(each, Window(0, 0, 1, 1))[0, 0]) for each in named] == [VALIDATION, TRAIN]
    with pytest.raises(ImageryError, match="no scene is '2030'; there are s0, s1, s2"):
        make_split(SceneSplit(validation=("2030",)), 0, images)


def test_scenes_of_one_name_that_the_split_names_are_refused() -> None:
    def image(folder: str, columns: int) -> Scenes:
        band = Band("red", f"/{folder}/image.tif", 1, shifted(columns), "uint8")
        return Scenes((Scene("image", (band,)),), shifted(columns), ("red",))

    images = [image("a", 0), image("b", 200), scene("c", shifted(400))]
    for name in ("image", "b/image", "b/image.tif"):
        with pytest.raises(ImageryError, match=r"2 scenes are named 'image': /a/image.tif, /b/image.tif") as caught:
            make_split(SceneSplit(validation=(name,)), 0, images)
        assert "give the files different names" in caught.value.remedy
    make_split(SceneSplit(validation=("c",)), 0, images)
    make_split(SceneSplit(validation=("image",)), 0, [images[0], images[0], images[2]])  # one file, labelled twice


def test_images_without_a_place_are_split_by_columns_and_told_so() -> None:
    image = GeoBox((20, 100), Affine.identity(), None)
    with pytest.raises(ImageryError, match=r"no coordinate reference system.*\n.*columns"):
        make_split(BlockSplit(), 0, [scene("a", image)])
    splits = make_split(ColumnSplit(validation=0.2, test=0.1, buffer_px=5), 0, [scene("a", image)]).of(
        image, Window(3, 60, 4, 40)
    )
    expected = [TRAIN] * 5 + [BUFFER] * 5 + [VALIDATION] * 20 + [TEST] * 10
    assert (splits == np.array(expected)).all()


def test_columns_are_refused_for_images_that_show_the_same_ground_elsewhere() -> None:
    with pytest.raises(ImageryError, match="same place in different columns"):
        make_split(ColumnSplit(), 0, [scene("a", shifted(0)), scene("b", shifted(30))])
    make_split(ColumnSplit(), 0, [scene("a", shifted(0)), scene("b", shifted(0))])


@pytest.mark.parametrize(
    "spec",
    [
        BlockSplit(size_m=300, buffer_m=20),
        AreaSplit(validation=Area.model_validate([15.0, 45.1, 15.005, 45.15]), buffer_m=50),
        SceneSplit(validation=("b",), overlap="buffer"),
        ColumnSplit(),
    ],
)
def test_a_split_comes_back_from_its_document(spec: SplitSpec) -> None:
    images = [scene("a", shifted(0)), scene("b", shifted(60) if spec.by == "scene" else shifted(0))]
    split = make_split(spec, 5, images)
    again = Split.from_document(json.loads(json.dumps(split.document())))
    assert again == split
    assert (
        again.of_scenes(images[0], Window(0, 0, 100, 100)) == split.of_scenes(images[0], Window(0, 0, 100, 100))
    ).all()
