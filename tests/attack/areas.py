"""Areas and labels with random changes: GeoJSON, WKT, KML, GeoPackage, FlatGeobuf and shapefiles, also zipped."""

from __future__ import annotations

import json
import random
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pyogrio
import shapely

from swath.geo import Window
from swath.imagery.labels.labels import find_labels, read_labels
from swath.imagery.sources.files import find_scenes
from swath.spec.fields import area_geometry
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import VectorLabels
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes, changed_document, cut_bytes
from tests.imagery.rasters import write

_DRIVERS = {
    "area.gpkg": "GPKG",
    "area.kml": "KML",
    "area.fgb": "FlatGeobuf",
    "area.geojson": "GeoJSON",
    "area.shp": "ESRI Shapefile",
}
_SHAPEFILE = ("shp", "shx", "dbf", "prj")
_WORDS = (
    "nan", "inf", "-inf", "1e999", "EMPTY", "Z", "(", ")", "((((((((", ",", "SRID=", "SRID=99999;", "SRID=0;", "POINT", "MULTIPOLYGON",
    "CURVEPOLYGON", "é", "\x00", "180", "-181", "1e308", "0",
)  # fmt: skip
_COLUMN = {"encoding": "WKB", "geometry_types": ["Polygon"], "bbox": [10, 50, 13, 51]}
_GEO = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": _COLUMN}}
_CRS = (
    "EPSG:4326",
    None,
    "EPSG:32633",
    "EPSG:0",
    "EPSG:99999",
    "+proj=moon",
    "",
    "\x00",
    "IAU_2015:30100",
    "{",
    "OGC:CRS84",
    "EPSG:4979",
)


def _geoparquet(shapes: list[Any], geo: Any) -> pa.Table:
    """A table of these shapes with this metadata."""
    table = pa.table({"geometry": [shapely.to_wkb(shape) for shape in shapes]})
    return table.replace_schema_metadata({"geo": json.dumps(geo)})


class Areas(NoProcesses):
    """Files and texts, read as the area of a spec is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shapes = [shapely.box(10, 50, 11, 51), shapely.box(12, 50, 13, 51).buffer(0.2)]
        self._wkt = [
            shapely.to_wkt(shapely.MultiPolygon(shapes)),
            "SRID=32633;POLYGON ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1))",
        ]
        self._shapes = shapes
        self._files: dict[str, bytes] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, driver in _DRIVERS.items():
                pyogrio.raw.write(
                    folder / name, shapely.to_wkb(shapes), field_data=[], fields=[], geometry_type="Polygon",
                    crs="EPSG:4326", driver=driver,
                )  # fmt: skip
        for path in sorted(folder.glob("area.*")):
            self._files[path.name] = path.read_bytes()
        with zipfile.ZipFile(folder / "area.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("area.shp", "area.shx", "area.dbf", "area.prj"):
                archive.writestr(name, self._files[name])
        self._files["area.zip"] = (folder / "area.zip").read_bytes()
        pa.parquet.write_table(_geoparquet(shapes, _GEO), folder / "area.parquet")
        self._files["area.parquet"] = (folder / "area.parquet").read_bytes()
        self._geojson = json.loads(self._files["area.geojson"])
        for path in folder.glob("area.*"):
            path.unlink()
        raster = write(folder / "scene.tif", np.zeros((1, 30, 30), np.uint8), crs="EPSG:4326", at=(10, 51), size=0.1)
        self._scenes = find_scenes(FilesImagery(paths=(str(raster),)), None, None)
        self._value: Any = None
        self._crs: str | None = None

    def unchanged(self) -> Iterator[Path]:
        self._crs = None
        for value in (*self._wkt, self._geojson):
            self._value = value
            yield self._folder / "area"
        self._value = None
        for name, data in self._files.items():
            (self._folder / name).write_bytes(data)
        for name in ("area.gpkg", "area.kml", "area.fgb", "area.geojson", "area.shp", "area.zip", "area.parquet"):
            yield self._folder / name

    def write(self, chance: random.Random) -> tuple[Path, str]:
        for path in self._folder.glob("area.*"):
            path.unlink()
        self._value, self._crs, how = None, chance.choice(_CRS) if chance.random() < 0.15 else None, chance.random()
        if how < 0.15:
            words = chance.choice(self._wkt).split(" ")
            for _ in range(chance.choice((1, 1, 2, 5))):
                words[chance.randrange(len(words))] = chance.choice(_WORDS)
            self._value = " ".join(words)
            return self._folder / "area.wkt", f"WKT {self._value[:200]!r}"
        if how < 0.45:
            document, done = changed_document(self._geojson, chance)
            if how < 0.3:
                self._value = document
                return self._folder / "area", f"GeoJSON in the spec, {done}"
            path = self._folder / "area.geojson"
            path.write_text(json.dumps(document), encoding="utf-8")
            return path, done
        name = chance.choice([each for each in self._files if not each.endswith((".cpg", ".geojson"))])
        if name == "area.parquet" and chance.random() < 0.6:
            geo, done = changed_document(_GEO, chance)
            pa.parquet.write_table(_geoparquet(self._shapes, geo), self._folder / name)
            return self._folder / name, f"metadata of {name}: {done}"
        parts = [each for each in self._files if each[-3:] in _SHAPEFILE]
        stem_files = parts if name[-3:] in _SHAPEFILE else [name]
        for each in stem_files:
            (self._folder / each).write_bytes(self._files[each])
        change = chance.choice((changed_bytes, changed_bytes, cut_bytes))
        (self._folder / name).write_bytes(change(self._files[name], chance))
        shown = name if name[-3:] not in _SHAPEFILE else "area.shp"
        return self._folder / shown, f"{change.__name__} of {name}"

    def use(self, path: Path) -> None:
        if isinstance(self._value, str):
            area_geometry.from_wkt(self._value, self._crs)
        elif self._value is not None:
            area_geometry.from_geojson(self._value)
        else:
            area_geometry.from_file(path.name, path.parent, crs=self._crs)
            labels = VectorLabels(path=str(path), crs=self._crs, label="water")
            read_labels(find_labels(labels, self._scenes, ("water",)), Window(0, 0, 30, 30))

    def names(self, path: Path) -> tuple[str, ...]:
        # Of a text in a spec, the spec's loader adds file, line and field; so it does of a CRS that the spec names.
        if self._value is not None:
            return ("",)
        return (path.name,) if self._crs is None else (path.name, f"no coordinate reference system {self._crs!r}")
