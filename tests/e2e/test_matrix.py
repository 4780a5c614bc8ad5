"""Maps of a matrix on real imagery: one run on workers, each map as if it had been made alone."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import rasterio
from rio_cogeo import cog_validate

from tests.models.tiny_models import write_identity_model, write_integer_unet
from tests.process import Pipe

pytestmark = pytest.mark.slow


def test_each_map_of_a_matrix_is_the_map_that_its_spec_makes_alone(pipe: Pipe, shared: Path) -> None:
    models = [
        str(write_integer_unet(pipe.folder)),
        str(write_identity_model(pipe.folder, ("red", "green", "blue"), "uint8", 0)),
    ]
    area = str(shared / "data/aoi/andros_78w.geojson")
    fields = {
        "imagery": {"source": "files", "paths": [str(shared / "data/imagery/bahamas_rgb.tif")], "names": ["red", "green", "blue"]},
        "region": 512,
    }  # fmt: skip
    matrix = {
        "model": models,
        "area": [area, [-77.8, 24.6, -77.6, 24.8]],
        "exclude": [{"model": models[1], "area": area}],
        "include": [{"model": models[0], "area": [10, 45, 11, 46]}],
    }
    spec = pipe.spec("all", **fields, matrix=matrix, cluster={"kind": "local", "workers": 2})
    done = pipe("run", spec, code=3)
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(pipe("runs", "table", "last", "--csv").out))}
    assert [row["state"] for row in rows.values()] == ["done", "done", "done", "failed"]
    assert "do not intersect" in list(rows.values())[-1]["error"]
    for number, row in enumerate(list(rows.values())[:3]):
        if number == 1:  # the first with another area
            continue
        folder = Path(row["folder"])
        assert folder == pipe.folder / "out" / row["variant"]
        assert cog_validate(folder / "map.tif", strict=True) == (True, [], [])
        value = row["area"] if not row["area"].startswith("[") else json.loads(row["area"])
        alone = pipe.spec(f"alone{number}", **fields, model=row["model"], area=value, output=f"alone{number}")
        pipe("run", alone, "--fresh")
        with rasterio.open(folder / "map.tif") as one, rasterio.open(pipe.folder / f"alone{number}/map.tif") as other:
            assert (one.read() == other.read()).all()
            assert one.transform == other.transform
        report = json.loads((folder / "report.json").read_text())
        assert report["seams"]["exact"] is True
        assert float(row["valid pixels"]) == report["valid_pixels"] > 0
        assert str(folder / "report.html") in done.out.splitlines()
    assert json.loads((pipe.folder / "out/report.json").read_text())["table"][3]["state"] == "failed"
    assert [p.name for p in (pipe.folder / "out").iterdir() if p.name.endswith((".partial", ".lock"))] == []
    again = pipe("run", spec, "--json", code=3)
    assert again.count("cluster_ready") == 0
