"""An area of interest in a spec: a box, polygons of a vector file, WKT or GeoJSON. The value holds the polygon itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.errors import AreaError
from swath.spec.fields import area_geometry
from swath.spec.fields.paths import ValidationContext, validation_context
from swath.spec.spec_model import SpecModel, mistake

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


class AreaBox(SpecModel):
    """A box in any coordinate reference system."""

    bbox: tuple[float, float, float, float]
    """West, south, east, north; a positive west and a negative east cross the antimeridian (degrees only)."""
    crs: str = "EPSG:4326"
    """CRS of the numbers; degrees of longitude and latitude when not given."""


class AreaFile(SpecModel):
    """Polygons of a vector file: anything that GDAL reads."""

    path: str
    """GeoPackage, GeoJSON, Shapefile or other; a path or URL."""
    layer: str | None = None
    """Layer, if the file has several."""
    where: str | None = None
    """Which features, as an SQL condition such as "name = 'north'"; all when not given."""
    crs: str | None = None
    """CRS of the file, if the file has none or a wrong one."""


class Area(SpecModel):
    """An area of interest. In YAML: a path to a vector file, [west, south, east, north] in degrees, WKT, GeoJSON, or
    {bbox: [...], crs: ...} and {path: ..., layer: ..., where: ...}.

    The validated value holds the geometry itself, so a run does not depend on the file any more.
    """

    forms = (AreaBox, AreaFile)
    short_schemas = (
        {"type": "string", "description": "Path to a vector file, or a polygon as WKT in degrees"},
        {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "[west, south, east, north] in degrees; a positive west and a negative east cross the antimeridian",
        },
        {
            "type": "object",
            "properties": {"type": {"enum": list(area_geometry.GEOJSON_TYPES)}},
            "required": ["type"],
            "description": "GeoJSON: a polygon geometry, a Feature or a FeatureCollection",
        },
    )

    wkt: str
    """A valid, non-empty polygon or multipolygon as WKT, in `crs`. Longitudes of areas that cross the antimeridian are
    split at 180 degrees, so that each part is within [-180, 180]."""
    crs: str = "EPSG:4326"
    """Coordinate reference system of `wkt`, as an authority code or WKT. Axes are always x, y (longitude first)."""
    source: str = ""
    """File or form from which it was read, for messages."""
    notes: tuple[str, ...] = ()
    """Repairs and assumptions, for the log and the report."""

    def geometry(self) -> BaseGeometry:
        """The area as a shapely geometry, in `crs`."""
        from shapely import from_wkt

        return from_wkt(self.wkt)

    @classmethod
    def as_mapping(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            return {"wkt" if area_geometry.is_wkt(value) else "path": value}
        return {"bbox": value} if isinstance(value, list) else value

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        short = list(value) if isinstance(value, tuple) else value
        form = cls.as_mapping(short, info)
        if not isinstance(form, dict):
            raise mistake("expected an area: a path, [west, south, east, north], WKT, GeoJSON or a mapping")
        try:
            shape = cls._read(form, validation_context(info))
        except AreaError as error:
            message = str(error).replace("\n  ", "; ")
            if not isinstance(error, area_geometry.AreaFieldError):
                raise mistake(message) from error
            at = (error.part,) if error.part in form else ()
            raise mistake(error.template, at=at, path=error.path) from error
        if shape is None:
            return form
        notes = form.get("notes", ()) if "wkt" in form else ()
        if isinstance(notes, (list, tuple)):
            notes = (*notes, *(note for note in shape.notes if note not in notes))
        said = form if "wkt" in form else {}
        return {"source": shape.source, **said, "wkt": shape.wkt, "crs": shape.crs, "notes": notes}

    @staticmethod
    def _read(form: dict[str, Any], context: ValidationContext | None) -> area_geometry.AreaGeometry | None:
        """The geometry that a mapping describes; None for a mapping that is none of the forms."""
        if form.get("type") in area_geometry.GEOJSON_TYPES:
            return area_geometry.from_geojson(form)
        if "bbox" in form:
            box = AreaBox.model_validate(form, context=context)
            return area_geometry.from_bbox(box.bbox, box.crs)
        if "path" in form:
            file = AreaFile.model_validate(form, context=context)
            root = context.root if context else Path()
            return area_geometry.from_file(file.path, root, layer=file.layer, where=file.where, crs=file.crs)
        if isinstance(form.get("wkt"), str) and isinstance(form.get("crs", ""), str):
            return area_geometry.from_wkt(form["wkt"], form.get("crs"))
        return None
