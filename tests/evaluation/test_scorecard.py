"""A map and a model against labels, in one process: every number is that of plain NumPy on the whole image."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from swath.errors import ImageryError, TaskFailed, UsageError
from swath.evaluation.inspection import worst_places
from swath.evaluation.scorecard import Scorecard
from swath.evaluation.scoring import RegionScores, score_map, score_model
from swath.evaluation.scoring_input import ScoringInput, find_map_scoring, find_model_scoring
from swath.geo import Regions
from swath.imagery.geometry.footprint import transformer
from swath.maps.layout import MapLayout, byte_layout, model_layout, plan_sheets
from swath.models.contract import ModelInfo
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import LabelClass, LabelledImagery, RasterLabels
from swath.spec.fields.output import Output, Probabilities
from tests.imagery.rasters import write
from tests.maps.case import Case, make_case

NAMES = ("land", "water", "ice")
HEIGHT, WIDTH = 600, 530
EDGE = 100
OUTPUT = Output(to=".", vectors=None, blocksize=512)


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(map, labels): 255 is nodata in both, 7 no class in the map, 9 none in the labels."""
    random = np.random.default_rng(3)
    labels = np.kron(random.integers(0, 3, (12, 11)), np.ones((50, 50)))[:HEIGHT, :WIDTH].astype(np.uint8)
    made = labels.copy()
    made[210:260, 320:390] = 2  # most errors are in the block from 200, 300
    made[5:9, 5:9] = (labels[5:9, 5:9] + 1) % 3
    made[:, 500:] = 255
    made[590:, :10] = 7
    labels[300:350] = 255
    labels[400:402, :100] = 9
    return made, labels


def planned(scoring_input: ScoringInput, model: ModelInfo | None = None) -> tuple[Regions, MapLayout]:
    halo, stride = (model.halo, model.stride) if model is not None else (0, 1)
    regions = plan_sheets(scoring_input.grids, scoring_input.area, OUTPUT, 512, halo=halo, stride=stride)
    return regions, byte_layout(regions, OUTPUT, 255)


@pytest.fixture(scope="module")
def scored(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[RegionScores], ScoringInput, Regions, MapLayout]:
    folder = tmp_path_factory.mktemp("scorecard")
    made, labels = (
        write(folder / f"{name}.tif", pixels[None], nodata=255)
        for name, pixels in zip(("map", "labels"), pair, strict=True)
    )
    classes = tuple(
        LabelClass(name=name, color=color) for name, color in zip(NAMES, ("c80a14", "1e5ad2", "fafafa"), strict=True)
    )
    scoring_input = find_map_scoring(str(made), RasterLabels(path=str(labels)), classes, None, EDGE * 10.0)
    regions, errors = planned(scoring_input)
    return [score_map(region, scoring_input, errors) for region in regions], scoring_input, regions, errors


def card(scored: Any, **changed: Any) -> Scorecard:
    results, scoring_input, regions, errors = scored
    options: dict[str, Any] = {"of": "map.tif", "objects": ("water",), "object_iou": 0.5, "draws": 100, "seed": 1}
    return Scorecard.of_regions(results, scoring_input, regions, errors, **(options | changed))


def test_every_pixel_is_counted_once_in_its_block(scored: Any, pair: Any) -> None:
    made, labels = pair
    results, scoring_input, *_ = scored
    assert len(results) == 4
    assert scoring_input.blocks == (EDGE,)
    totals = card(scored).totals
    both = (labels < 3) & (made < 3)
    expected = {}
    for row in range(-(-HEIGHT // EDGE)):
        for col in range(-(-WIDTH // EDGE)):
            part = (slice(row * EDGE, (row + 1) * EDGE), slice(col * EDGE, (col + 1) * EDGE))
            matrix = np.zeros((3, 3), np.int64)
            np.add.at(matrix, (labels[part][both[part]], made[part][both[part]]), 1)
            if matrix.any():
                expected[0, row, col] = matrix.tolist()
    assert dict(zip(totals.blocks, totals.counts.tolist(), strict=True)) == expected
    assert totals.unpredicted == int(((labels < 3) & ~both).sum())
    assert totals.matrix.sum() == both.sum()
    assert totals.unknown_labels == ((0, ((9, 200),)),)
    assert totals.unknown_map == ((7, int(((made == 7) & (labels < 3)).sum())),)


def test_warnings_and_notes_count_what_is_no_class(scored: Any) -> None:
    found = card(scored)
    assert any("9" in each and "200" in each for each in (*found.warnings, *found.notes))
    assert any(
        "7" in each and "100" in each and "Name the map's values in `classes`" in each for each in found.warnings
    )
    assert found.where == "everything that has a label"
    assert found.about["scored"] == "map.tif"
    assert found.about["map"] == ["map"]
    trained = round(found.summary.pixels / 4)
    first, second = replace(found, summary=replace(found.summary, trained=trained, same_ground=1)).warnings[-2:]
    assert first.startswith("25 % of the scored pixels were trained on")
    assert second.startswith("less than 1 % (1) of the scored pixels show ground that was trained on")


def test_the_worst_places_are_the_blocks_with_the_most_errors_with_their_pictures(scored: Any, pair: Any) -> None:
    made, labels = pair
    results, scoring_input, regions, _ = scored
    totals = card(scored).totals
    places = worst_places(results, regions, scoring_input, totals, 6, photos=False)
    block = (slice(200, 300), slice(300, 400))
    assert places[0].pixels == int(((labels[block] < 3) & (made[block] < 3)).sum())
    assert places[0].wrong == int((labels[block] != made[block]).sum())
    assert [each.wrong for each in places] == sorted((each.wrong for each in places), reverse=True)
    longitude, latitude = transformer("EPSG:32633", "EPSG:4326").transform(500_000 + 3500, 5_000_000 - 2500)
    assert places[0].where == f"at {latitude:.5f}, {longitude:.5f} (latitude, longitude)"
    for place, pixels in zip(places[0].pictures, (labels, made), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(place))) as picture:
            colors = np.array([each.color for each in scoring_input.classes], np.uint8)
            assert np.array_equal(np.asarray(picture), colors[pixels[block]])
    assert len(worst_places(results, regions, scoring_input, totals, 1, photos=False)) == 1
    photo, *_ = worst_places(results, regions, scoring_input, totals, 1, photos=True)[0].pictures
    assert photo != places[0].pictures[0]


def test_objects_are_whole_across_regions(scored: Any) -> None:
    (water,) = card(scored).summary.objects
    assert water.name == "water"
    assert 0 < water.matched <= min(water.labelled, water.predicted)
    assert card(scored, object_iou=None).summary.objects == ()
    with pytest.raises(UsageError, match="no class is called 'lake'") as caught:
        card(scored, objects=("lake",))
    assert "land, water, ice" in caught.value.remedy


def test_scores_page_and_error_map_are_published_together(scored: Any, pair: Any, tmp_path: Path) -> None:
    made, labels = pair
    published = card(scored).publish(Output(to=str(tmp_path / "scores"), vectors=None, blocksize=512))
    assert published.report()["numbers"]
    plain = json.loads((tmp_path / "scores/scores.json").read_text())
    assert plain["warnings"]
    page = (tmp_path / "scores/scores.html").read_text()
    assert "everything that has a label" in page
    assert page.count("data:image/png;base64,") >= 2
    with rasterio.open(tmp_path / "scores/map.tif") as file:
        errors = file.read(1)
    both = (labels < 3) & (made < 3)
    assert np.array_equal(errors, np.where(both, labels * 3 + np.where(both, made, 0), 255))


def test_a_comparison_of_nothing_says_why(scored: Any) -> None:
    results, scoring_input, regions, errors = scored
    nothing = [replace(each, blocks=(), counts=None, unpredicted=5) for each in results]
    with pytest.raises(
        TaskFailed, match="no pixel has both a label and a prediction; 20 labelled pixels have no prediction"
    ):
        card((nothing, scoring_input, regions, errors))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("case"))


def labelled(case: Case, folder: Path) -> tuple[NDArray[np.uint8], tuple[LabelledImagery, ...]]:
    """The map with every seventh row changed to the next class, as labels."""
    labels = case.whole[0].copy()
    labels[::7] = np.where(labels[::7] < 3, (labels[::7] + 1) % 3, labels[::7])
    path = write(folder / "labels.tif", labels[None], nodata=255)
    imagery = FilesImagery(paths=(case.scenes.scenes[0].bands[0].href,))
    return labels, (LabelledImagery(imagery=imagery, labels=RasterLabels(path=str(path))),)


@pytest.mark.parametrize("calibration", [False, True])
def test_a_model_is_scored_on_the_pixels_of_its_map(case: Case, tmp_path: Path, calibration: bool) -> None:
    labels, data = labelled(case, tmp_path)
    scoring_input = find_model_scoring(data, case.model.contract, None, None, None)
    assert scoring_input.blocks == (round(np.sqrt(211 * 197 / 64)),)
    regions, errors = planned(scoring_input, case.model)
    output = OUTPUT.model_copy(update={"probabilities": Probabilities(dtype="float32") if calibration else None})
    layout = model_layout(regions, case.model, 3, output)
    results = [score_model(region, scoring_input, case.model, errors, layout) for region in regions]
    totals = card((results, scoring_input, regions, errors), objects=(), object_iou=None).totals
    both = (labels < 3) & (case.whole[0] < 3)
    expected = np.zeros((3, 3), np.int64)
    np.add.at(expected, (labels[both], case.whole[0][both]), 1)
    assert totals.matrix.tolist() == expected.tolist()
    assert (totals.calibration is not None) is calibration
    assert (totals.trained, totals.same_ground, totals.unpredicted) == (0, 0, 0)


def test_what_cannot_be_scored_is_refused(case: Case, tmp_path: Path) -> None:
    _, data = labelled(case, tmp_path)
    contract = case.model.contract
    with pytest.raises(UsageError, match="gives values, not classes"):
        find_model_scoring(data, replace(contract, output="values"), None, None, None)
    with pytest.raises(UsageError, match="its validation split is not known"):
        find_model_scoring(data, contract, None, "validation", None)
    bare = write(tmp_path / "bare.tif", np.zeros((1, 20, 20), np.uint8), crs=None)
    with pytest.raises(ImageryError, match="block_m: the imagery has no coordinate reference system"):
        find_map_scoring(str(bare), RasterLabels(path=str(bare)), (LabelClass(name="a"),), None, 100.0)
