"""The example of docs/triggers.md: each overpass is mapped and compared, while its items appear in a STAC API."""

from __future__ import annotations

import csv
import re
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from tests.imagery.servers import Web, web
from tests.process import ROOT, Pipe
from tests.stac_api import StacApi, stac_api
from tests.waiting import until

WEST, EAST = (-112.75, 40.70, -112.66, 40.85), (-112.66, 40.70, -112.57, 40.85)
"""Footprints of the two tiles of an overpass."""
EDGES = {WEST: 352200, EAST: 359800}
"""Their left edges in UTM zone 12, in metres."""
LAND, WATER = (90, 85, 80, 110), (60, 40, 25, 12)


def tile(folder: Path, name: str, box: tuple[float, float, float, float], water_rows: int) -> dict[str, str]:
    """Files of four bands over one footprint, with so many rows of water."""
    files = {}
    for number, band in enumerate(("blue", "green", "red", "nir")):
        pixels = np.full((280, 128), LAND[number], np.uint8)
        pixels[:water_rows] = WATER[number]
        files[band] = f"{name}-{band}.tif"
        where = from_origin(EDGES[box], 4523500, 60, 60)
        with rasterio.open(
            folder / files[band], "w", driver="GTiff", height=280, width=128, count=1, dtype="uint8", crs="EPSG:32612",
            transform=where, tiled=True, blockxsize=64, blockysize=64,
        ) as file:  # fmt: skip
            file.write(pixels, 1)
    return files


def appear(api: StacApi, server: Web, day: datetime, box: Any, water_rows: int, **fields: Any) -> None:
    """Let an item be in the API."""
    name = f"{day:%Y%m%d}-{'west' if box == WEST else 'east'}"
    files = tile(server.folder, name, box, water_rows)
    assets = {
        band: {"href": f"{server.address}/{file}", "type": "image/tiff; application=geotiff", "roles": ["data"]}
        for band, file in files.items()
    }
    item = api.add(name, f"{day:%Y-%m-%dT18:00:00Z}", box, assets=assets, **fields)
    item["collection"] = "sentinel-2-l2a"


def example(pipe: Pipe, api: StacApi) -> None:
    """The project of the page, with the test's API in place of the page's, and without its waits."""
    page = (ROOT / "docs/triggers.md").read_text().partition("## Example: ")[2]
    text = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]  # type: ignore[index]
    for quick in (("quiet: 30m", "quiet: 1s"), ("every: 10m", "every: 1s")):
        assert quick[0] in text
        text = text.replace(*quick)
    (pipe.folder / "swath.yaml").write_text(text.replace("https://stac.example.org/v1", api.url))
    for folder in ("specs", "models"):
        shutil.copytree(ROOT / folder, pipe.folder / folder)
    spec = pipe.folder / "specs/overpass.yaml"
    spec.write_text(spec.read_text().replace("https://stac.example.org/v1", api.url))
    pipe.env["SWATH_TRUST"] = str(pipe.folder)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_overpass_is_mapped_once_and_compared_with_the_one_before(pipe: Pipe, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    today = datetime.now(UTC)
    first, second = (today - timedelta(days=days) for days in (4, 2))
    with stac_api() as api, web(served) as server:
        example(pipe, api)
        appear(api, server, today - timedelta(days=6), WEST, 100)
        appear(api, server, today - timedelta(days=6), EAST, 100)
        process = pipe.start("watch")
        try:
            until(lambda: len(api.searches) >= 3)
            appear(api, server, first, WEST, 100)
            seen = len(api.searches)
            until(lambda: len(api.searches) >= seen + 3)
            assert not (pipe.folder / "out").exists(), "half of an overpass"
            appear(api, server, first, EAST, 100)
            until(lambda: (pipe.folder / f"out/overpass/{first:%Y-%m-%d}/map.tif").exists(), timeout_s=120)
            appear(api, server, first - timedelta(days=1), WEST, 100, **{"eo:cloud_cover": 80})
            for box in (WEST, EAST):
                appear(api, server, second, box, 160)
            table = pipe.folder / f"out/overpass-change/{second:%Y-%m-%d}/transitions.csv"
            until(table.exists, timeout_s=120)
        finally:
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert sorted(path.name for path in (pipe.folder / "out/overpass").iterdir() if path.is_dir()) == [
        f"{day:%Y-%m-%d}" for day in (first, second)
    ]
    assert [path.name for path in (pipe.folder / "out/overpass-change").iterdir() if path.is_dir()] == [
        f"{second:%Y-%m-%d}"
    ]
    with table.open() as file:
        hectares = sum(float(row["hectares"]) for row in csv.DictReader(file))
    assert hectares == pytest.approx(5250, rel=0.05), "that of the area"
    assert "no earlier run" in pipe("trigger", "show", "overpass-change").out
