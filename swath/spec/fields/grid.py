"""The output grid in a spec: coordinate reference system, resolution, or one grid per UTM zone."""

from __future__ import annotations

from pydantic import Field, model_validator

from swath.spec.spec_model import SpecModel


class GridSpec(SpecModel):
    """The output grid, when it is not to be the imagery's own."""

    crs: str | None = None
    """Authority code such as EPSG:32633; the imagery's own when not given."""
    resolution: float | None = Field(default=None, gt=0)
    """Pixel size in units of the CRS; the imagery's finest band when not given."""
    zones: bool = False
    """One sheet for each UTM zone of the imagery, on that zone's own pixels; each place is in the sheet of the nearest central
    meridian. Otherwise the map has one grid: that of the first scene, or of `crs`."""

    @model_validator(mode="after")
    def _one_way(self) -> GridSpec:
        if self.zones and self.crs is not None:
            raise ValueError("zones have their own coordinate reference systems: give either zones or crs")
        return self
