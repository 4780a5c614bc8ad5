"""Chips show what is in the imagery: to the pixel, of their own split, the same for the same seed, as many of each class."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from swath.imagery.labels.labelled_image import find_labelled_images
from swath.imagery.reading.mosaic import read_mosaic
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import IGNORE_INDEX, ExpressionLabels, LabelledImagery, RasterLabels, VectorLabels
from swath.spec.fields.sampling import Sampling
from swath.spec.fields.split import AreaSplit, BlockSplit, ColumnSplit, SplitSpec
from swath.training.chips.chips import Chips
from swath.training.split.split import BUFFER, TEST, TRAIN, VALIDATION
from tests.imagery.labels.test_labels import features, pixel_ring
from tests.imagery.rasters import write
from tests.training.chips.images import CLASSES, pair, planned

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
GRIDS = {
    "UTM": ("EPSG:32633", UTM),
    "rotated": ("EPSG:32633", UTM @ Affine.rotation(30)),
    "degrees": ("EPSG:4326", Affine(0.0001, 0, 15, 0, -0.0001, 45)),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("crs", ["own", "EPSG:4326", "EPSG:3857"])
def test_a_label_of_one_pixel_lands_on_its_pixel(tmp_path: Path, grid: str, crs: str) -> None:
    own, transform = GRIDS[grid]
    pixels = np.full((1, 300, 400), 7, np.uint8)
    spots = [(40, 50), (99, 101), (150, 33), (200, 90), (60, 350)]
    for row, col in spots:
        pixels[0, row, col] = 200
    image = write(tmp_path / "image.tif", pixels, names=("green",), crs=own, transform=transform)
    rings = [pixel_ring(transform, row, col) for row, col in spots]
    if crs != "own":
        from pyproj import Transformer

        move = Transformer.from_crs(own, crs, always_xy=True).transform
        rings = [[move(*point) for point in ring] for ring in rings]
    path = features(tmp_path / "f.geojson", [(ring, {}) for ring in rings], own if crs == "own" else crs)
    labels = VectorLabels(path=str(path), label="water", background="land")
    images = find_labelled_images(
        (LabelledImagery(imagery=FilesImagery(paths=(str(image),)), labels=labels),), None, CLASSES
    )
    chips = Chips(planned(images, ColumnSplit(validation=0.25)), Sampling(chip=48, batch=8, balance="classes"), 3)
    seen = 0
    for number in range(4):
        batch = chips.batch(number)
        water = batch.labels == 1
        bright = batch.pixels[:, 0] == 200
        assert (water == (bright & (batch.labels != IGNORE_INDEX))).all()
        seen += int(water.sum())
    assert seen >= 16
    (held,) = [each for each in chips.split_windows(VALIDATION) if each.window.col == 0]
    batch = chips.window_batch(held)
    assert np.argwhere(batch.labels[0] == 1).tolist() == [[60, 350]]


def test_batches_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    images, _, _ = pair(tmp_path, (300, 600))
    found = planned(images, BlockSplit(size_m=1000, buffer_m=50), 1)
    sampling = Sampling(chip=64, batch=2, balance="classes")
    chips = Chips(found, sampling, 5)
    first = [chips.batch(number) for number in range(6)]
    other = pickle.loads(pickle.dumps(Chips(found, sampling, 5, cache_bytes=1)))
    for number in (5, 2, 0):
        again = other.batch(number)
        assert (again.pixels == first[number].pixels).all()
        assert (again.labels == first[number].labels).all()
    assert (Chips(found, sampling, 6).batch(0).pixels != first[0].pixels).any()
    assert (first[0].pixels != first[1].pixels).any()


@pytest.mark.parametrize("spec", [BlockSplit(size_m=900, buffer_m=50, test=0.2), ColumnSplit(test=0.1, buffer_px=9)])
def test_training_sees_no_pixel_that_is_held_back_and_no_label_of_the_buffer(tmp_path: Path, spec: SplitSpec) -> None:
    """Each pixel tells its own place here."""
    rows, cols = np.mgrid[:600, :700]
    pixels = np.stack([rows + 1, cols + 1]).astype(np.uint16)
    image = write(tmp_path / "a.tif", pixels, names=("green", "nir"), nodata=0)
    known = write(tmp_path / "l.tif", (rows % 2)[None].astype(np.uint8))
    data = LabelledImagery(imagery=FilesImagery(paths=(str(image),)), labels=RasterLabels(path=str(known)))
    images = find_labelled_images((data,), None, CLASSES)
    found = planned(images, spec, 1)
    splits = found.split.of_scenes(images[0].scenes, found.surveys[0].window)
    chips = Chips(found, Sampling(chip=100, batch=8, min_valid=0.3), 0)
    for number in range(10):
        batch = chips.batch(number)
        row, col = batch.pixels.astype(int)[:, 0][batch.valid] - 1, batch.pixels.astype(int)[:, 1][batch.valid] - 1
        places, labels = splits[row, col], batch.labels[batch.valid]
        assert set(np.unique(places)) <= {TRAIN, BUFFER}
        assert (labels[places == TRAIN] == row[places == TRAIN] % 2).all()
        assert (labels[places == BUFFER] == IGNORE_INDEX).all()
        assert (batch.labels[~batch.valid] == IGNORE_INDEX).all()
        assert (batch.pixels.transpose(0, 2, 3, 1)[~batch.valid] == 0).all()
    for split in (TRAIN, VALIDATION, TEST):
        counted = np.zeros(splits.shape, int)
        for held in chips.split_windows(split, edge=256, halo=16):
            batch = chips.window_batch(held)
            assert batch.valid.all() or split == TRAIN
            seen = batch.labels[0] != IGNORE_INDEX
            np.add.at(counted, (batch.pixels[0, 0][seen].astype(int) - 1, batch.pixels[0, 1][seen].astype(int) - 1), 1)
        assert (counted == (splits == split)).all()


def test_a_chip_has_enough_labels_where_that_can_be(tmp_path: Path) -> None:
    labels = np.full((1, 640, 640), IGNORE_INDEX, np.uint8)
    labels[0, ::40, ::40] = 1  # single pixels everywhere
    labels[0, :200, 100:300] = 0
    image = write(tmp_path / "a.tif", np.full((1, 640, 640), 9, np.uint8))
    known = write(tmp_path / "l.tif", labels, nodata=IGNORE_INDEX)
    data = LabelledImagery(imagery=FilesImagery(paths=(str(image),)), labels=RasterLabels(path=str(known)))
    found = planned(
        find_labelled_images((data,), None, CLASSES),
        AreaSplit(validation=Area.model_validate([15.0, 45.0, 15.02, 45.2])),
    )
    batch = Chips(found, Sampling(chip=32, batch=64, balance="classes", min_valid=0.5), 0).batch(0)
    assert ((batch.labels != IGNORE_INDEX).mean(axis=(1, 2)) >= 0.5).all()


def test_an_image_smaller_than_a_chip_is_filled_up_with_nothing(tmp_path: Path) -> None:
    images, pixels, labels = pair(tmp_path, (50, 60))
    chips = Chips(planned(images, ColumnSplit(validation=0.2)), Sampling(chip=64, batch=2, min_valid=0.9), 0)
    batch = chips.batch(0)
    assert batch.pixels.shape == (2, 2, 64, 64)
    assert (batch.pixels[0, :, :50, :48] == pixels[:, :, :48]).all()
    assert (batch.labels[0, :50, :48] == labels[:, :48]).all()
    assert not batch.valid[:, 50:].any()
    assert not batch.valid[:, :, 48:].any()


def test_chips_are_in_physical_values_where_the_contract_is(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.full((1, 128, 128), 5000, np.uint16))
    known = write(tmp_path / "l.tif", np.zeros((1, 128, 128), np.uint8))
    imagery = FilesImagery(paths=(str(tmp_path / "a.tif"),), scale=0.0001, offset=-0.1)
    images = find_labelled_images(
        (LabelledImagery(imagery=imagery, labels=RasterLabels(path=str(known))),), None, CLASSES
    )
    chips = Chips(planned(images, ColumnSplit(), reflectance=True), Sampling(chip=32), 0)
    batch = chips.batch(0)
    assert np.allclose(batch.pixels.max(), 0.4)
    assert chips.plan.moments.mean == pytest.approx([0.4])
    assert batch.pixels.dtype == np.float32


def test_real_imagery_comes_out_as_it_is_read(shared: Path) -> None:
    paths = tuple(str(shared / f"data/imagery/naip_nd_{day}.tif") for day in ("20100629", "20120731"))

    imagery = FilesImagery(paths=paths, bands=("red", "green", "blue", "nir"))
    rule = ExpressionLabels(expression="(green - nir) / (green + nir) > 0.1", label="water", otherwise="land")
    images = find_labelled_images((LabelledImagery(imagery=imagery, labels=rule),), None, CLASSES)
    found = planned(images, BlockSplit(size_m=800, buffer_m=50), 2)
    chips = Chips(found, Sampling(chip=128, batch=4, balance="classes"), 0)
    batch = chips.batch(0)
    green, nir = batch.pixels[:, 1], batch.pixels[:, 3]
    known = batch.labels != IGNORE_INDEX
    with np.errstate(invalid="ignore", divide="ignore"):
        assert (((green - nir) / (green + nir) > 0.1)[known] == (batch.labels == 1)[known]).all()
    held = chips.split_windows(VALIDATION)[0]
    pixels, valid = read_mosaic(images[held.image].scenes, held.source)
    again = chips.window_batch(held)
    assert (again.pixels[0] == pixels).all()
    assert (again.valid[0] == valid).all()
    assert 10 < chips.steps_per_epoch * 4 * 128**2 / 1e5 < 14
