"""Change through the real `pipe` process, on real imagery and on maps that predict made."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from tests.models.tiny_models import write_identity_model
from tests.process import ROOT, Pipe


def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        found: NDArray[Any] = file.read()
    return found


def ucayali(shared: Path) -> dict[str, Any]:
    """Water by a weak rule, on two Landsat mosaics of a river that wanders."""
    return {
        "pipeline": "change", "cluster": "inline", "output": {"to": "out", "blocksize": 64}, "region": 128,
        **{
            name: {"name": year, "imagery": {
                "source": "files", "paths": [str(shared / f"data/imagery/landsat_ucayali_{year}.tif")],
                "names": ["swir16", "nir", "red", "green"],
            }}
            for name, year in (("before", "1985"), ("after", "2020"))
        },
        "rule": {"expression": "(green - swir16) / (green + swir16) > 0.1", "label": "water", "otherwise": "land"},
        "classes": [{"name": "land", "color": "7A9A4E"}, {"name": "water", "color": "2B6CB0"}],
    }  # fmt: skip


@pytest.mark.slow
def test_a_river_that_moved_in_35_years_is_mapped_with_hectares_polygons_and_a_picture(
    pipe: Pipe, shared: Path
) -> None:
    spec = pipe.folder / "change.yaml"
    spec.write_text(yaml.safe_dump(ucayali(shared)))
    plan = json.loads(pipe("plan", spec, "--json").out)
    assert (plan["classes"], plan["megapixels"]) == ("land, water", 0.263)
    assert "compare_states" in pipe("show", spec).out
    pipe("run", spec)
    out = pipe.folder / "out"
    assert cog_validate(out / "map.tif", strict=True) == (True, [], [])
    with (
        rasterio.open(out / "map.tif") as file,
        rasterio.open(shared / "data/imagery/landsat_ucayali_1985.tif") as before,
        rasterio.open(shared / "data/imagery/landsat_ucayali_2020.tif") as after,
    ):
        assert (file.shape, file.transform, file.crs) == (before.shape, before.transform, before.crs)
        states = []
        for each in (before, after):
            swir, _, _, green = each.read().astype(np.float64)
            with np.errstate(all="ignore"):
                states.append((green - swir) / (green + swir) > 0.1)
        values, known = file.read(1), file.read_masks(1) > 0
        assert np.array_equal(values[known], (states[0] * 2 + states[1])[known])
        assert json.loads(file.tags(1)["CLASSES"])["1"] == "land -> water"
    rows = {row["from"] + row["to"]: row for row in csv.DictReader((out / "transitions.csv").read_text().splitlines())}
    # The river is some 5,600 ha of new water and 8,100 ha that fell dry; a third of it is where it was.
    assert float(rows["landwater"]["hectares"]) == pytest.approx(5583, abs=1)
    assert float(rows["waterland"]["hectares"]) == pytest.approx(8148, abs=1)
    vectors = geopandas.read_parquet(out / "map.parquet")
    assert set(vectors["name"]) == {"land -> water", "water -> land"}
    assert vectors.loc[vectors["name"] == "land -> water", "area_m2"].sum() / 1e4 == pytest.approx(5583, abs=1)
    item = pystac.Item.from_file(str(out / "item.json"))
    assert {"map", "vectors", "preview", "transitions"} <= set(item.assets)
    report = json.loads((out / "report.json").read_text())
    assert report["numbers"]["changed ha"] == pytest.approx(5583 + 8148, abs=2)
    assert report["transitions"]["rows"][1][0] == pytest.approx(8148, abs=1)
    page = (out / "report.html").read_text()
    assert "From 1985 (rows) to 2020 (columns), in hectares" in page
    picture = np.asarray(Image.open(out / "preview.png"))
    became_water = (picture == (59, 117, 156)).all(axis=-1).sum()
    assert became_water > 1000


@pytest.mark.slow
def test_the_shipped_spec_compares_two_maps_and_a_model_makes_the_same_two_itself(pipe: Pipe, scene: Path) -> None:
    (pipe.folder / "data").mkdir()
    (pipe.folder / "data/first.tif").write_bytes(scene.read_bytes())
    with rasterio.open(pipe.folder / "data/first.tif") as file:
        profile, pixels = file.profile, file.read()
    with rasterio.open(pipe.folder / "data/second.tif", "w", **profile) as file:
        file.write(np.roll(pixels, 40, axis=2))  # everything 40 pixels to the east
    names = ["blue", "green", "red", "nir", "swir16", "thermal", "swir22"]
    imagery = {
        name: {"source": "files", "paths": [f"data/{name}.tif"], "names": [*names]} for name in ("first", "second")
    }
    settings = {"model": str(ROOT / "models/water.pt2"), "area": [-112.70, 40.74, -112.62, 40.81]}
    sheets = {"to": "out/demo-2020", "sheet": 128, "blocksize": 64}  # a map of several files
    for name, output in (("first", "out/demo"), ("second", sheets)):
        region = 64 if output is sheets else 512
        pipe("run", pipe.spec(name, imagery=imagery[name], output=output, region=region, **settings))
    assert len(list((pipe.folder / "out/demo-2020").glob("map-*.tif"))) > 1
    spec = pipe.folder / "change.yaml"
    spec.write_text((ROOT / "specs/change.yaml").read_text())
    pipe("run", spec, "--cluster", "inline")
    numbers = json.loads((pipe.folder / "out/change/report.json").read_text())["numbers"]
    assert 1 < numbers["changed %"] < 50

    both = {
        "before": {"name": "1999", "imagery": imagery["first"]}, "after": {"name": "2020", "imagery": imagery["second"]},
    }  # fmt: skip
    composed = pipe.spec("composed", pipeline="change", output="out/both", **both, **settings)
    assert json.loads(pipe("plan", composed, "--json").out)["before: regions"] > 0
    pipe("run", composed)
    assert (pipe.folder / "out/both/map.tif").read_bytes() == (pipe.folder / "out/change/map.tif").read_bytes()
    assert (pipe.folder / "out/both/before/map.tif").read_bytes() == (pipe.folder / "out/demo/map.tif").read_bytes()


@pytest.mark.slow
def test_a_model_of_two_dates_gets_the_bands_of_both_pixel_by_pixel(pipe: Pipe, shared: Path) -> None:
    spec = {name: value for name, value in ucayali(shared).items() if name not in ("rule", "classes")}
    for name in ("before", "after"):
        spec[name]["imagery"]["bands"] = ["nir", "red"]
    model = write_identity_model(pipe.folder, ("nir_1", "red_1", "nir_2", "red_2"), "uint8", 0)
    spec |= {"model": str(model), "dates": "together"}
    (pipe.folder / "change.yaml").write_text(yaml.safe_dump(spec))
    assert json.loads(pipe("plan", "change.yaml", "--json").out)["scenes"] == 1
    pipe("run", "change.yaml")
    years = ("1985", "2020")
    source = [pixels(shared / f"data/imagery/landsat_ucayali_{year}.tif")[1:3] for year in years]
    assert np.array_equal(pixels(pipe.folder / "out/map.tif"), np.concatenate(source))
    spec["after"]["imagery"] |= {"mosaic": "last"}
    (pipe.folder / "wrong.yaml").write_text(yaml.safe_dump(spec))
    assert "before has first, after has last" in pipe("plan", "wrong.yaml", code=2).err


def test_a_spec_that_says_too_little_or_too_much_is_refused_at_its_place(pipe: Pipe, shared: Path) -> None:
    good = ucayali(shared)
    lacking = {name: value for name, value in good.items() if name != "rule"}
    (pipe.folder / "lacking.yaml").write_text(yaml.safe_dump(lacking))
    assert "before.imagery needs a model or a rule" in pipe("check", "lacking.yaml", code=2).err
