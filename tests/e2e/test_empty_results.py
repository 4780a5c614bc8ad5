"""Maps and scores of nothing do not pass as done: an error, or counts in log, report and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from numpy.typing import NDArray

from tests.imagery.rasters import write
from tests.models.tiny_models import write_identity_model
from tests.process import Done, Pipe

NORTH = 5_200_000
CORNER = (500_000, NORTH)


@pytest.fixture
def job(pipe: Pipe) -> Pipe:
    """A scene of 64 x 64 pixels of 10 m, another 5 km east of it, and a model that gives the scene back."""
    pixels = np.full((1, 64, 64), 7, np.uint8)
    for name, east in (("scene", 500_000), ("far", 505_000)):
        write(pipe.folder / f"{name}.tif", pixels, at=(east, NORTH), nodata=0, names=("gray",))
    write_identity_model(pipe.folder, ("gray",), "uint8", 0)
    return pipe


def imagery(*names: str, **more: Any) -> dict[str, Any]:
    return {"source": "files", "paths": [f"{name}.tif" for name in names], **more}


def area(left: float, top: float, right: float, bottom: float) -> dict[str, str]:
    """In pixels of the first scene."""
    box = shapely.box(500_000 + 10 * left, NORTH - 10 * bottom, 500_000 + 10 * right, NORTH - 10 * top)
    return {"wkt": box.wkt, "crs": "EPSG:32633"}


def predicted(job: Pipe, code: int = 0, **fields: Any) -> Done:
    spec = job.spec(**{"imagery": imagery("scene"), "model": "identity.pt2", **fields})
    return job("run", spec, code=code)


def values(job: Pipe) -> NDArray[Any]:
    with rasterio.open(job.folder / "out/map.tif") as file:
        return file.read(1)


def test_an_area_smaller_than_a_pixel_maps_the_pixel_that_it_touches(job: Pipe) -> None:
    done = predicted(job, area=area(10.1, 20.1, 10.4, 20.4))
    assert values(job).tolist() == [[7]]
    said = "the area (WKT) holds no centre of a pixel of 10 in EPSG:32633: the pixels that it touches are used"
    assert said in done.err
    assert "1 of 1 pixels of the map are valid (100 %)" in done.err
    assert said in json.loads((job.folder / "out/report.json").read_text())["input"]["notes"]


def test_an_area_between_scenes_is_refused_before_anything_is_read(job: Pipe) -> None:
    fields = {"imagery": imagery("scene", "far"), "area": area(200, 5, 300, 50)}
    done = predicted(job, code=2, **fields)
    assert "the area (WKT) lies between the scenes: none of 2 has a pixel there" in done.err
    plan = job("plan", job.folder / "spec.yaml", code=2)
    assert "lies between the scenes" in plan.err
    assert not (job.folder / "out").exists()


def test_a_map_without_a_valid_pixel_is_not_published(job: Pipe) -> None:
    write(job.folder / "scene.tif", np.zeros((1, 64, 64), np.uint8), at=CORNER, nodata=0, names=("gray",))
    done = predicted(job, code=1)
    assert "no pixel of the map is valid: none of 4,096 pixels has data in any of 1 scenes" in done.err
    assert "Check the area, nodata and imagery.mask" in done.err
    assert not (job.folder / "out").exists()


def test_a_load_of_nothing_is_refused_and_empty_images_are_named(job: Pipe) -> None:
    write(job.folder / "scene.tif", np.zeros((1, 64, 64), np.uint8), at=CORNER, nodata=0, names=("gray",))
    path = job.folder / "load.yaml"
    spec = {"pipeline": "load", "cluster": "inline", "output": "out"}
    path.write_text(yaml.safe_dump({**spec, "imagery": imagery("scene")}))
    assert "no image has a valid pixel (1 were read)" in job("run", path, code=1).err
    assert not (job.folder / "out").exists()
    path.write_text(yaml.safe_dump({**spec, "imagery": imagery("scene", "far")}))
    assert "1 of 2 images have no valid pixel: scene" in job("run", path).err


def test_the_valid_pixels_of_a_map_are_told(job: Pipe) -> None:
    pixels = np.zeros((1, 64, 64), np.uint8)
    pixels[:, :10, :10] = 3
    write(job.folder / "scene.tif", pixels, at=CORNER, nodata=0, names=("gray",))
    assert "100 of 4,096 pixels of the map are valid (2.44 %)" in predicted(job).err


def test_a_resolution_of_30_degrees_is_refused(job: Pipe) -> None:
    done = predicted(job, code=2, grid={"crs": "EPSG:4326", "resolution": 30})
    assert "grid.resolution: a pixel of 30 in EPSG:4326 is larger than all of the imagery" in done.err


def test_complex_pixels_are_refused_in_every_pipeline(job: Pipe) -> None:
    write(job.folder / "radar.tif", np.full((1, 64, 64), 1 + 2j, np.complex64), at=CORNER, names=("gray",))
    said = "radar.tif: band 1 has complex pixels (complex64)"
    assert said in predicted(job, code=2, imagery=imagery("radar")).err
    labels = {"source": "expression", "expression": "gray > 3", "label": "b", "otherwise": "a"}
    rule = {"rule": labels, "before": {"imagery": imagery("radar")}, "after": {"imagery": imagery("scene")}}
    data = {"imagery": imagery("radar"), "labels": labels}
    raster = {"source": "raster", "path": "radar.tif"}
    for name, fields in {
        "load": {"imagery": imagery("radar")},
        "change": rule,
        "train": {
            "data": data,
            "classes": ["a", "b"],
            "bands": ["gray"],
            "split": {"by": "columns", "validation": 0.25},
        },
        "evaluate": {"map": "radar.tif", "labels": labels, "classes": ["a", "b"]},
        "labels": {"pipeline": "evaluate", "map": "scene.tif", "labels": raster, "classes": ["a", "b"]},
    }.items():
        path = job.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"pipeline": name, "cluster": "inline", "output": f"out/{name}", **fields}))
        done = job("run", path, code=2)
        assert said in done.err, name
        assert "DERIVED_SUBDATASET:AMPLITUDE" in done.err


def scored(job: Pipe, code: int = 0, **fields: Any) -> tuple[Done, dict[str, Any]]:
    path = job.folder / "evaluate.yaml"
    document = {"pipeline": "evaluate", "cluster": "inline", "output": "out", "classes": ["dark", "bright"], **fields}
    path.write_text(yaml.safe_dump(document))
    done = job("run", path, code=code)
    return done, json.loads((job.folder / "out/scores.json").read_text()) if code == 0 else {}


def halves(left: int, right: int) -> NDArray[np.uint8]:
    return np.concatenate([np.full((1, 64, 32), left), np.full((1, 64, 32), right)], axis=2).astype(np.uint8)


def test_label_values_that_are_no_class_are_counted_in_log_scores_and_page(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    write(job.folder / "labels.tif", halves(0, 255), at=CORNER)
    done, scores = scored(job, map="map.tif", labels={"source": "raster", "path": "labels.tif"})
    said = (
        "2,048 pixels of the labels have a value that is no class: 255 (2,048). They are not used. List the values in "
        "labels.classes, each as a class or as `ignore`"
    )
    assert said in done.err
    assert scores["warnings"] == [said]
    assert (
        "no scored pixel has the label bright: mean scores are those of the other classes" in scores["about"]["notes"]
    )
    assert said in (job.folder / "out/scores.html").read_text()
    assert said in json.loads((job.folder / "out/report.json").read_text())["input"]["warnings"]
    # With the values listed there is nothing to say, and both classes are scored.
    listed = {"source": "raster", "path": "labels.tif", "classes": {"0": "dark", "255": "bright"}}
    done, scores = scored(job, map="map.tif", labels=listed)
    assert scores["warnings"] == []
    assert scores["scored_pixels"] == 4096
    # A value that the spec does not list is ignored as it says, and counted.
    done, scores = scored(job, map="map.tif", labels=listed | {"classes": {"0": "dark"}})
    assert scores["warnings"] == []
    assert any("255 (2,048); labels.classes does not list it" in note for note in scores["about"]["notes"])


def test_map_values_that_are_no_class_are_counted(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 100), at=CORNER)
    write(job.folder / "labels.tif", halves(0, 1), at=CORNER)
    done, scores = scored(job, map="map.tif", labels={"source": "raster", "path": "labels.tif"})
    said = "2,048 pixels of the map that have a label have a value that is no class: 100 (2,048). They are not scored."
    assert said in done.err
    assert scores["labelled_without_prediction"] == 2048


def test_scores_of_nothing_say_why(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    write(job.folder / "labels.tif", halves(100, 255), at=CORNER)
    done, _ = scored(job, code=1, map="map.tif", labels={"source": "raster", "path": "labels.tif"})
    assert (
        "no pixel has both a label and a prediction; 4,096 pixels of the labels have a value that is no class"
        in done.err
    )
    assert "100 (2,048), 255 (2,048)" in done.err


def test_a_change_of_maps_counts_values_that_are_no_class(job: Pipe) -> None:
    write(job.folder / "before.tif", halves(0, 1), at=CORNER)
    write(job.folder / "after.tif", halves(0, 200), at=CORNER)
    path = job.folder / "change.yaml"
    spec = {"pipeline": "change", "cluster": "inline", "output": "out", "before": "before.tif", "after": "after.tif"}
    path.write_text(yaml.safe_dump({**spec, "classes": ["dark", "bright"]}))
    said = "2,048 pixels of after have a value that is no class: 200 (2,048). They are not compared."
    assert said in job("run", path).err
    assert said in json.dumps(json.loads((job.folder / "out/report.json").read_text())["input"]["notes"])


def features(path: Path, *shapes: shapely.Geometry, layer: str | None = None) -> None:
    geopandas.GeoDataFrame(geometry=list(shapes), crs="EPSG:32633").to_file(path, layer=layer)


def test_labels_whose_features_lie_elsewhere_are_refused(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    features(job.folder / "labels.gpkg", shapely.box(600_000, 5_000_000, 600_100, 5_000_100))
    labels = {"source": "vector", "path": "labels.gpkg", "label": "bright", "background": "dark"}
    done, _ = scored(job, code=2, map="map.tif", labels=labels)
    assert "labels.gpkg: none of its features lies on the imagery: they are within 600000, 5e+06" in done.err
    assert "give its CRS with labels.crs" in done.err


def test_swapped_latitude_and_longitude_are_guessed(job: Pipe) -> None:
    done = predicted(job, code=2, area=[46.95, 15.0, 46.96, 15.01])
    assert "they do not intersect" in done.err
    assert "Swapped? With latitude and longitude exchanged the area would lie on the imagery" in done.err
    done = predicted(job, code=2, area=[46.9, 115, 47, 116])
    assert "Swapped? Longitude comes first, then latitude." in done.err


def test_labels_in_a_file_of_two_layers_are_refused_with_their_names(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    for layer, left in (("east", 500_320), ("west", 500_000)):
        features(job.folder / "labels.gpkg", shapely.box(left, NORTH - 640, left + 320, NORTH), layer=layer)
    labels = {"source": "vector", "path": "labels.gpkg", "label": "bright", "background": "dark"}
    done, _ = scored(job, code=2, map="map.tif", labels=labels)
    assert "labels.gpkg has 2 layers; name one with labels.layer: east, west" in done.err
    done, scores = scored(job, map="map.tif", labels=labels | {"layer": "east"})
    assert scores["overall"]["accuracy"]["value"] == 1
    done, _ = scored(job, code=2, map="map.tif", labels=labels | {"layer": "eats"})
    assert "labels.gpkg has no layer 'eats' (did you mean 'east'?); it has east, west" in done.err


def test_label_polygons_smaller_than_a_pixel_are_counted(job: Pipe) -> None:
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    large = shapely.box(500_320, NORTH - 640, 500_640, NORTH)
    features(job.folder / "labels.gpkg", large, shapely.box(500_001, NORTH - 4, 500_004, NORTH - 1))
    labels = {"source": "vector", "path": "labels.gpkg", "label": "bright", "background": "dark"}
    done, scores = scored(job, map="map.tif", labels=labels)
    assert "labels.gpkg: 1 of 2 polygons on the image hold no pixel's centre and label no pixel" in done.err
    done, scores = scored(job, map="map.tif", labels=labels | {"all_touched": True})
    assert "hold no pixel's centre" not in done.err
    assert scores["by_class"]["bright"]["support"] == 2049


def test_geoparquet_is_read_as_area_and_as_labels(job: Pipe) -> None:
    box = geopandas.GeoDataFrame(
        {"kind": ["a"]}, geometry=[shapely.box(500_100, NORTH - 300, 500_300, NORTH - 100)], crs=32633
    )
    box.to_parquet(job.folder / "area.parquet")
    predicted(job, area="area.parquet")
    assert (values(job) == 7).sum() == 400
    write(job.folder / "map.tif", halves(0, 1), at=CORNER)
    labels = {
        "source": "vector",
        "path": "area.parquet",
        "field": "kind",
        "classes": {"a": "bright"},
        "background": "dark",
    }
    _, scores = scored(job, map="map.tif", labels=labels)
    assert (scores["scored_pixels"], scores["by_class"]["bright"]["support"]) == (4096, 400)
    done, _ = scored(job, code=2, map="map.tif", labels=labels | {"where": "kind = 'a'"})
    assert "is GeoParquet, which is read without a condition" in done.err
