"""The table of transitions, and the legend of the map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from swath.change.comparison import compare_region
from swath.change.transition_table import (
    area_matrix,
    transition_legend,
    transition_rows,
    transitions_csv,
)
from swath.change.transitions import NODATA
from swath.maps.cog.cog import write_cog
from swath.maps.layout import byte_layout, plan_sheets
from swath.maps.region_result import FileParts
from swath.spec.fields.labels import LabelClass
from swath.spec.fields.output import Output
from tests.change.pairs import pair_of, raster, table


def test_table_and_csv_say_the_same(tmp_path: Path) -> None:
    before, after = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    after[:16] = 1
    pair = pair_of(raster(tmp_path / "a.tif", before, crs=None), raster(tmp_path / "b.tif", after, crs=None))
    rows = table(pair)
    assert [row.hectares for row in rows] == [None, None]
    assert transitions_csv(rows).splitlines() == [
        "value,from,to,pixels,hectares,percent", "0,land,land,3072,,75.0000", "1,land,water,1024,,25.0000",
    ]  # fmt: skip
    assert area_matrix(rows, pair) == {
        "unit": "pixels", "from": "then", "to": "now", "classes": ["land", "water"], "rows": [[3072.0, 1024.0], [0.0, 0.0]],
    }  # fmt: skip


def test_the_map_of_the_most_classes_is_a_cog_with_the_names_of_its_transitions(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8)[:225].repeat(64).reshape(225, 64)
    paths = [raster(tmp_path / f"{n}.tif", each) for n, each in enumerate((values // 15, values % 15))]
    pair = pair_of(paths[0], paths[1], classes=tuple(LabelClass(name=f"c{n}") for n in range(15)))
    output = Output(to="unused", blocksize=64)
    regions = plan_sheets((pair.scenes,), None, output, 64)
    form = byte_layout(regions, output, NODATA)
    made = [compare_region(each, pair, form) for each in regions]
    rows = transition_rows(made, pair)
    assert [row.transition.value for row in rows] == list(range(225))
    facts = write_cog(
        tmp_path / "change.tif",
        FileParts.of(made, "map", regions, 0),
        regions.sheets[0],
        form.encoding,
        classes=transition_legend(rows),
    )
    assert (facts.nodata, facts.valid) == (NODATA, 225 * 64)
    with rasterio.open(tmp_path / "change.tif") as file:
        assert np.array_equal(file.read(1), values)
