"""Labels lie on the image to the pixel, whatever file, CRS and rotation they come from."""

import json
import warnings
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from swath.errors import AreaError, ImageryError
from swath.geo import Window
from swath.imagery.labels.labels import find_labels, read_labels
from swath.imagery.sources.find import find
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import IGNORE_INDEX, ExpressionLabels, RasterLabels, VectorLabels
from tests.imagery.rasters import write

WHOLE = Window(0, 0, 40, 50)
CLASSES = ("land", "water")


def image(folder: Path, **options: object) -> tuple[FilesImagery, object]:
    path = write(folder / "image.tif", np.zeros((2, 40, 50), np.uint8), names=("green", "nir"), **options)  # type: ignore[arg-type]
    imagery = FilesImagery(paths=(str(path),))
    return imagery, find(imagery)


def features(
    path: Path, shapes: list[tuple[list[tuple[float, float]], dict[str, object]]], crs: str | None = None
) -> Path:
    document: dict[str, object] = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": properties,
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            }
            for ring, properties in shapes
        ],
    }
    if crs is not None:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document))
    return path


def pixel_ring(transform: Affine, row: int, col: int, inset: float = 0.2) -> list[tuple[float, float]]:
    """A square within one pixel, in the image's CRS."""
    corners = [(col + inset, row + inset), (col + 1 - inset, row + inset)]
    corners += [(col + 1 - inset, row + 1 - inset), (col + inset, row + 1 - inset)]
    return [transform @ corner for corner in corners]


GRIDS = {
    "UTM": ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_000_000)),
    "rotated": ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_000_000) @ Affine.rotation(30)),
    "south up": ("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 5_000_000)),
    "degrees": ("EPSG:4326", Affine(0.001, 0, 15, 0, -0.001, 45)),
    "beyond 180": ("EPSG:4326", Affine(0.001, 0, 179.98, 0, -0.001, 45)),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("asked", ["its own CRS", "degrees", "Mercator"])
def test_a_label_of_one_pixel_lands_on_its_pixel(tmp_path, grid, asked):
    crs, transform = GRIDS[grid]
    _, scenes = image(tmp_path, crs=crs, transform=transform)
    ring = pixel_ring(transform, 17, 31)
    target = {"its own CRS": crs, "degrees": "EPSG:4326", "Mercator": "EPSG:3857"}[asked]
    move = Transformer.from_crs(crs, target, always_xy=True)
    ring = [move.transform(*point) for point in ring]
    code = target.replace("EPSG:", "urn:ogc:def:crs:EPSG::")
    path = features(tmp_path / "l.geojson", [(ring, {})], None if asked == "degrees" else code)
    labels = VectorLabels(path=str(path), label="water", background="land", crs=target)
    source = find_labels(labels, scenes, CLASSES)
    read = read_labels(source, WHOLE)
    assert [tuple(each) for each in np.argwhere(read == 1)] == [(17, 31)]
    part = Window(17, 31, 5, 5)
    assert read_labels(source, part).tolist() == read[part.roi].tolist()


def test_attributes_name_classes_later_features_lie_on_top_and_some_are_ignored(tmp_path):
    _, scenes = image(tmp_path)
    square = [(500_000, 5_000_000), (500_100, 5_000_000), (500_100, 4_999_900), (500_000, 4_999_900)]
    inner = [(500_020, 4_999_980), (500_050, 4_999_980), (500_050, 4_999_950), (500_020, 4_999_950)]
    cloud = [(500_000, 5_000_000), (500_010, 5_000_000), (500_010, 4_999_990), (500_000, 4_999_990)]
    shapes = [(square, {"kind": "lake"}), (inner, {"kind": "land"}), (cloud, {"kind": "cloud"})]
    path = features(tmp_path / "l.geojson", shapes, "urn:ogc:def:crs:EPSG::32633")
    labels = VectorLabels(path=str(path), field="kind", classes={"lake": "water", "cloud": "ignore"})
    read = read_labels(find_labels(labels, scenes, CLASSES), WHOLE)
    assert (read[:10, :10] == 1).sum() == 100 - 9 - 1
    assert (read[2:5, 2:5] == 0).all()
    assert read[0, 0] == read[20, 20] == IGNORE_INDEX
    with pytest.raises(ImageryError, match="'cloud' is no class; there are land, water"):
        find_labels(labels.model_copy(update={"classes": {}}), scenes, CLASSES)
    with pytest.raises(ImageryError, match="no attribute 'sort'; it has kind"):
        find_labels(labels.model_copy(update={"field": "sort"}), scenes, CLASSES)
    with pytest.raises(ImageryError, match=r"has no features that meet labels\.where"):
        find_labels(labels.model_copy(update={"where": "kind = 'sea'"}), scenes, CLASSES)


def test_whole_numbers_beside_a_feature_without_a_value_are_still_named_as_such(tmp_path):
    _, scenes = image(tmp_path)
    square = [(500_000, 5_000_000), (500_100, 5_000_000), (500_100, 4_999_900), (500_000, 4_999_900)]
    other = [(500_100, 5_000_000), (500_200, 5_000_000), (500_200, 4_999_900), (500_100, 4_999_900)]
    path = features(
        tmp_path / "l.geojson", [(square, {"kind": 1}), (other, {"kind": None})], "urn:ogc:def:crs:EPSG::32633"
    )
    labels = VectorLabels(path=str(path), field="kind", classes={"1": "water"})
    with pytest.raises(ImageryError, match="kind: 'null' is no class"):
        find_labels(labels, scenes, CLASSES)
    for one in ("1", "1.0"):
        both = labels.model_copy(update={"classes": {one: "water", "null": "ignore"}})
        read = read_labels(find_labels(both, scenes, CLASSES), WHOLE)
        assert (read[:10, :10] == 1).all()
        assert (read[:10, 10:20] == IGNORE_INDEX).all()


def test_a_raster_of_several_bands_is_noted_with_the_band_that_counts(tmp_path):
    _, scenes = image(tmp_path)
    one, three = np.zeros((1, 30, 40), np.uint8), np.zeros((3, 30, 40), np.uint8)
    path = write(tmp_path / "rgb.tif", three)
    assert f"{path}: has 3 bands, and the labels are band 2 (labels.band)" in (
        find_labels(RasterLabels(path=str(path), band=2), scenes, CLASSES).notes
    )
    assert not find_labels(RasterLabels(path=str(write(tmp_path / "one.tif", one))), scenes, CLASSES).notes


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "geojson"])
def test_metres_without_a_crs_are_refused(tmp_path, suffix):
    _, scenes = image(tmp_path)
    path = str(tmp_path / f"l.{suffix}")
    square = shapely.to_wkb([shapely.box(500_000, 4_999_900, 500_100, 5_000_000)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pyogrio.raw.write(path, square, [], [], geometry_type="Polygon", crs=None)
    labels = VectorLabels(path=path, label="water")
    with pytest.raises(ImageryError, match=r"l\.\w+: 500000, .* are not degrees") as caught:
        find_labels(labels, scenes, CLASSES)
    assert "labels.crs" in caught.value.remedy
    read = read_labels(find_labels(labels.model_copy(update={"crs": "EPSG:32633"}), scenes, CLASSES), WHOLE)
    assert (read[:10, :10] == 1).all()


def test_all_touched_takes_pixels_whose_centre_is_outside(tmp_path):
    _, scenes = image(tmp_path)
    corner = [(500_000, 5_000_000), (500_012, 5_000_000), (500_012, 4_999_988), (500_000, 4_999_988)]
    path = features(tmp_path / "l.geojson", [(corner, {})], "urn:ogc:def:crs:EPSG::32633")
    counts = [
        int(
            (
                read_labels(
                    find_labels(VectorLabels(path=str(path), label="water", all_touched=touched), scenes, CLASSES),
                    WHOLE,
                )
                == 1
            ).sum()
        )
        for touched in (False, True)
    ]
    assert counts == [1, 4]


def test_a_raster_on_its_own_grid_gives_its_nearest_pixel_and_unknown_numbers_are_ignored(tmp_path):
    _, scenes = image(tmp_path)
    coarse = np.array([[[0, 4], [7, 255]]], np.uint8)
    path = write(tmp_path / "l.tif", coarse, size=100, nodata=255)
    read = read_labels(
        find_labels(RasterLabels(path=str(path), classes={"0": "land", "4": "water"}), scenes, CLASSES), WHOLE
    )
    assert (read[:10, :10] == 0).all()
    assert (read[:10, 10:20] == 1).all()
    assert (read[10:20, :10] == IGNORE_INDEX).all()
    assert (read[20:] == IGNORE_INDEX).all()
    with pytest.raises(ImageryError, match=r"labels\.classes\.4: 'wood' is no class"):
        find_labels(RasterLabels(path=str(path), classes={"4": "wood"}), scenes, CLASSES)


def test_a_raster_without_a_crs_lies_on_an_image_of_the_same_size(tmp_path):
    numbers = np.arange(2000, dtype=np.uint8).reshape(1, 40, 50) % 2
    _, scenes = image(tmp_path)
    path = write(tmp_path / "l.tif", numbers, crs=None)
    source = find_labels(RasterLabels(path=str(path)), scenes, CLASSES)
    assert (read_labels(source, WHOLE) == numbers[0]).all()
    assert "pixel by pixel" in source.notes[0]
    small = write(tmp_path / "s.tif", numbers[:, :20], crs=None)
    with pytest.raises(ImageryError, match="cannot be brought together"):
        find_labels(RasterLabels(path=str(small)), scenes, CLASSES)


def test_a_raster_elsewhere_is_an_error_that_says_so(tmp_path):
    _, scenes = image(tmp_path)
    path = write(tmp_path / "l.tif", np.zeros((1, 5, 5), np.uint8), at=(600_000, 5_000_000))
    with pytest.raises(AreaError, match="does not touch the imagery"):
        find_labels(RasterLabels(path=str(path)), scenes, CLASSES)


def test_a_rule_labels_each_scene_from_its_own_bands_even_those_that_the_model_does_not_take(tmp_path):
    pixels = np.zeros((3, 40, 50), np.uint8)
    pixels[0], pixels[2, :, 25:] = 100, 200
    pixels[:, 0] = 0
    path = write(tmp_path / "a.tif", pixels, names=("green", "red", "nir"))
    imagery = FilesImagery(paths=(str(path),))
    scenes = find(imagery, ("green", "red"))
    labels = ExpressionLabels(expression="(green - nir) / (green + nir) > 0.1", label="water", otherwise="land")
    read = read_labels(find_labels(labels, scenes, CLASSES, None, imagery), WHOLE)
    assert (read[1:, :25] == 1).all()
    assert (read[1:, 25:] == 0).all()
    assert (read[0] == IGNORE_INDEX).all()  # 0 / 0


def test_outside_of_the_area_nothing_is_known(tmp_path):
    imagery, scenes = image(tmp_path)
    area = Area(
        wkt="POLYGON((500000 5000000, 500100 5000000, 500100 4999900, 500000 4999900, 500000 5000000))",
        crs="EPSG:32633",
    )
    labels = ExpressionLabels(expression="green == 0", label="water", otherwise="land")
    read = read_labels(find_labels(labels, scenes, CLASSES, area, imagery), WHOLE)
    assert (read[:10, :10] == 1).all()
    assert (read == IGNORE_INDEX).sum() == 2000 - 100


def test_real_masks_without_a_crs_lie_on_their_image(shared):
    folder = shared / "data/labels/clouds"
    imagery = FilesImagery(paths=(str(folder / "sentinel2_img.tif"),))
    labels = RasterLabels(
        path=str(folder / "sentinel2_mask.tif"), classes={"0": "shadow", "1": "clear", "3": "clear", "4": "cloud"}
    )
    source = find_labels(labels, find(imagery), ("clear", "cloud", "shadow"))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(folder / "sentinel2_mask.tif") as file:
        mask = file.read(1)
    read = read_labels(source, Window(100, 50, 200, 300))
    assert (read == np.array([2, 0, 255, 0, 1], np.uint8)[mask[100:300, 50:350]]).all()


def test_damaged_files_and_systems_of_other_bodies_are_errors_that_name_the_file(tmp_path):
    _, scenes = image(tmp_path)
    square = [(500_000, 5_000_000), (500_100, 5_000_000), (500_100, 4_999_900), (500_000, 4_999_900)]
    path = features(tmp_path / "l.geojson", [(square, {})], "urn:ogc:def:crs:EPSG::32633")
    moon = VectorLabels(path=str(path), label="water", crs="IAU_2015:30100")
    with pytest.raises(ImageryError, match=r"l\.geojson: there is no transformation from .* 'IAU_2015:30100' to"):
        find_labels(moon, scenes, CLASSES)
    with pytest.raises(ImageryError, match=r"l\.geojson: cannot be read with this condition"):
        find_labels(VectorLabels(path=str(path), label="water", where="no ("), scenes, CLASSES)
    (tmp_path / "a.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(ImageryError, match=r"a\.zip is an archive without a vector file"):
        find_labels(VectorLabels(path=str(tmp_path / "a.zip"), label="water"), scenes, CLASSES)


@pytest.mark.parametrize("far", [1e12, 1e300])
def test_a_feature_with_damaged_coordinates_costs_no_memory_and_labels_nothing(tmp_path, far):
    _, scenes = image(tmp_path)
    square = [(14.9995, 45.1), (15.0015, 45.1), (15.0015, 45.2), (14.9995, 45.2)]
    path = features(tmp_path / "l.geojson", [(square, {}), ([(0, 0), (far, 0), (far, far)], {})], "EPSG:4326")
    read = read_labels(
        find_labels(VectorLabels(path=str(path), label="water", crs="EPSG:32634"), scenes, CLASSES), WHOLE
    )
    assert (read == IGNORE_INDEX).all()
