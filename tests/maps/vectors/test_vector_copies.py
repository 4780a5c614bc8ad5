"""GeoPackage and FlatGeobuf hold the same polygons as the GeoParquet file."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from swath.errors import TaskFailed
from swath.maps.vectors.geoparquet import write_vectors
from swath.maps.vectors.vector_copies import COLUMNS, copy_vectors
from swath.spec.fields.output import VectorFormat
from tests.maps.vectors.test_geoparquet import CLASSES, map_of


@pytest.mark.parametrize(("kind", "name"), [("geopackage", "map.gpkg"), ("flatgeobuf", "map.fgb")])
def test_a_copy_has_the_same_objects(tmp_path: Path, kind: VectorFormat, name: str) -> None:
    pixels = np.random.default_rng(4).integers(0, 3, (90, 80))
    write_vectors(tmp_path / "map.parquet", map_of(tmp_path, pixels), CLASSES)
    assert copy_vectors(tmp_path / "map.parquet", kind) == tmp_path / name
    expected = geopandas.read_parquet(tmp_path / "map.parquet")[list(COLUMNS)]
    found = geopandas.read_file(tmp_path / name)
    assert len(expected) > 1000
    assert pyogrio.read_info(tmp_path / name)["layer_name"] == "map"
    assert found.crs == expected.crs
    assert set(found.columns) == set(COLUMNS)
    order = {shape: row for row, shape in enumerate(shapely.to_wkb(expected.geometry))}  # FlatGeobuf sorts by place
    rows = [order[shape] for shape in shapely.to_wkb(found.geometry)]
    assert sorted(rows) == list(range(len(expected)))
    for column in COLUMNS[:-1]:
        assert (found[column].to_numpy() == expected[column].to_numpy()[rows]).all()
    first = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    copy_vectors(tmp_path / "map.parquet", kind)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("kind", ["geopackage", "flatgeobuf"])
def test_a_map_without_objects_or_a_crs_has_copies(tmp_path: Path, kind: VectorFormat) -> None:
    write_vectors(tmp_path / "map.parquet", map_of(tmp_path, np.full((9, 9), 255), crs=None), CLASSES)
    found = geopandas.read_file(copy_vectors(tmp_path / "map.parquet", kind))
    assert len(found) == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_vectors(tmp_path / "map.parquet", map_of(tmp_path, np.ones((9, 9))), CLASSES)
    (tmp_path / "map.gpkg").mkdir()
    with pytest.raises(TaskFailed, match=r"map\.gpkg"):
        copy_vectors(tmp_path / "map.parquet", "geopackage")
