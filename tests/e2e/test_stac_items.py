"""A catalogue with a broken item through the real `pipe` process: the item is named, and left out of the map."""

from __future__ import annotations

import json

import numpy as np
import rasterio
import yaml

from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items
from tests.models.tiny_models import write_identity_model
from tests.process import Pipe


def test_a_broken_item_is_named_and_set_aside(pipe: Pipe) -> None:
    write(pipe.folder / "a.tif", np.full((1, 64, 64), 7, np.uint8))
    good, bad = (
        make_item("good", {"red": "./a.tif"}),
        make_item("bad", {"red": "./a.tif"}) | {"stac_extensions": [None]},
    )
    imagery = {"source": "stac", "catalog": write_items(pipe.folder, bad, good)}
    model = str(write_identity_model(pipe.folder, ("red",), "uint8", 0))
    done = pipe("run", pipe.spec(imagery=imagery, model=model), code=3)
    assert "item bad: not a valid STAC item: stac_extensions.0 must be a text" in done.err
    with rasterio.open(pipe.folder / "out/map.tif") as file:
        assert np.unique(file.read()).tolist() == [7]
    report = json.loads((pipe.folder / "out/report.json").read_text())
    assert "item bad" in report["set_aside"][0]
    pipe("run", pipe.spec(imagery=imagery | {"exclude": ["bad"]}, model=model))
    document = yaml.safe_load((pipe.folder / pipe.spec(imagery=imagery, model=model)).read_text()) | {
        "on_error": "stop"
    }
    (pipe.folder / "stop.yaml").write_text(yaml.safe_dump(document))
    stopped = pipe("run", "stop.yaml", code=1)
    assert "item bad" in stopped.err
