"""The output grid in a spec: coordinate reference system, resolution, or one grid per UTM zone."""

from __future__ import annotations

from pydantic import Field, model_validator

from swath.spec.spec_model import SpecModel


class GridSpec(SpecModel):
    """The grid of the output, if not that of the imagery."""

    crs: str | None = None
    """Authority code such as EPSG:32633; that of the imagery when not given."""
    resolution: float | None = Field(default=None, gt=0)
    """Pixel size in units of the CRS; that of the imagery's finest band when not given."""
    zones: bool = False
    """One sheet (file) per UTM zone of the imagery, in the CRS of the zone; each place is in the sheet of the nearest central
    meridian. Otherwise the map has one grid: that of the first scene, or of `crs`."""

    @model_validator(mode="after")
    def _one_way(self) -> GridSpec:
        if self.zones and self.crs is not None:
            raise ValueError("zones have their own coordinate reference systems: give either zones or crs")
        return self
